//! `helloworld.Greeter`.

use super::call::{Call, Outcome};
use super::messages::helloworld::{HelloReply, HelloRequest};

pub(super) async fn say_hello(call: &mut Call) -> Outcome {
    let request: HelloRequest = call.only().await?;
    call.send(&HelloReply { message: format!("Hello {}", request.name) }).await
}
