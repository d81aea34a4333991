//! Streams to containers as Kubernetes knows them: the channels of a WebSocket and the streams of SPDY/3.1, and how one
//! becomes the other. The API server needs it for kubelets, the kubelet for the runtime's streaming server.

pub mod listening;
pub mod messages;
pub mod relay;
pub mod remote_command;
pub mod spdy;
pub mod tunnel;
pub mod websocket;
