"""permessage-deflate with the parameters of the scripts' option `--deflate-params`."""


def arguments(params):
    """`server_no_context_takeover,client_max_window_bits=10` as keyword arguments of the package's factories."""
    chosen = {}
    for param in filter(None, params.split(",")):
        name, _, value = param.partition("=")
        chosen[name] = int(value) if value else True
    return chosen
