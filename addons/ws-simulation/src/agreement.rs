use ws_proto::{
    ValidConfig,
    handshake::{
        ClientHandshake, ClientRequest, Extensions, RequestReader, ResponseParts, ResponseReader,
        ServerHandshake,
    },
};

/// Runs an opening handshake without faults. Returns the extensions that client and server agree upon.
pub(crate) fn agree(client: &ValidConfig, server: &ValidConfig) -> Result<[Extensions; 2], String> {
    let request = ClientRequest::new("example.com", "/").with_extensions(client);
    let (handshake, bytes) =
        ClientHandshake::new(&request, *b"the sample nonce").map_err(|error| error.to_string())?;
    let request = RequestReader::new(&server.limits).read(&bytes).map_err(|error| error.to_string())?;
    let (request, _) = request.ok_or("incomplete request")?;
    let mut answer = ServerHandshake::new(&request).map_err(|error| error.to_string())?;
    let for_server = answer.negotiate(server);
    let bytes = answer.accept(&ResponseParts::default()).map_err(|error| error.to_string())?;
    let response = ResponseReader::new(&client.limits).read(&bytes).map_err(|error| error.to_string())?;
    let (response, _) = response.ok_or("incomplete response")?;
    let accepted = handshake.finish(&response).map_err(|error| error.to_string())?;
    Ok([accepted.extensions, for_server])
}
