use ws_proto::{
    Config,
    handshake::{
        Acceptance, ClientHandshake, ClientRequest, Extensions, RequestReader, ResponseReader,
        ServerHandshake,
    },
};

/// What client and server agree upon: an opening handshake, without faults.
pub(crate) fn agree(client: &Config, server: &Config) -> Result<[Extensions; 2], String> {
    let request = ClientRequest::new("example.com", "/").with_extensions(client);
    let (handshake, bytes) =
        ClientHandshake::new(&request, *b"the sample nonce").map_err(|error| error.to_string())?;
    let request = RequestReader::new(&server.limits).read(&bytes).map_err(|error| error.to_string())?;
    let (request, _) = request.ok_or("half a request")?;
    let mut answer = ServerHandshake::new(&request).map_err(|error| error.to_string())?;
    let for_server = answer.negotiate(server);
    let bytes = answer.accept(&Acceptance::default()).map_err(|error| error.to_string())?;
    let response = ResponseReader::new(&client.limits).read(&bytes).map_err(|error| error.to_string())?;
    let (response, _) = response.ok_or("half a response")?;
    let accepted = handshake.finish(&response).map_err(|error| error.to_string())?;
    Ok([accepted.extensions, for_server])
}
