//! gRPC calls and streams.

use std::time::Duration;

use super::guest::{guest, map_at};
use super::server::{Dispatched, Server, TestHost};
use super::{Engine, HEADERS, LIMIT, TestStream, VmKind, on_every_engine, stream};
use crate::proxy_wasm::abi::Status;
use crate::proxy_wasm::vm::{CallResponse, Fields, GrpcEvent, Vm};

on_every_engine! {
    a_call_and_a_stream_reach_the_host
    arguments_are_checked
    a_message_ends_a_call
    a_close_ends_a_call
    a_success_without_a_message_is_none
    a_stream_has_its_events_in_order
    messages_are_sent_on_streams_only
    cancelling_and_closing
    what_is_being_answered_is_known_to_the_end
    a_stream_is_waited_for_by_nobody
    a_root_of_one_request_calls_nobody
    the_end_of_a_context_cancels_its_streams
}

/// Request headers make a call (token 1) and open a stream (token 2). Callbacks log their names and arguments, what they
/// see, and run `then`.
fn talking(then: &str) -> Vec<u8> {
    let (metadata, size) = map_at(32_768, &[("M", "v")]);
    let call = format!("'svc' 'pkg.S' 'Do' (i32.const 32768) (i32.const {size})");
    let callback = |name: &str, see: &str| {
        format!(
            r#"(func (export "proxy_on_grpc_{name}") (param i32 i32 i32)
                 (call $say '{name}') (call $number (local.get 0)) (call $number (local.get 1))
                 (call $number (local.get 2)) {see} {then})"#
        )
    };
    let value = |map: u32| format!("(call $result (call $value (i32.const {map}) 'key' (i32.const 0) (i32.const 4)))");
    let message = "(call $result (call $bytes (i32.const 5) (i32.const 0) (i32.const 99) (i32.const 0) (i32.const 4)))";
    let status =
        "(drop (call $status (i32.const 8) (i32.const 0) (i32.const 4))) (call $number (i32.load (i32.const 8)))";
    guest(&format!(
        r#"{metadata}
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (call $number (call $grpc_call {call} 'question' (i32.const 90) (i32.const 48)))
             (call $number (call $grpc_stream {call} (i32.const 52)))
             (call $number (i32.load (i32.const 48))) (call $number (i32.load (i32.const 52))) (i32.const 1))
           (func (export "proxy_on_tick") (param i32) (local i32) {then})
           {} {} {} {}"#,
        callback("receive_initial_metadata", &[value(4), value(5)].concat()),
        callback("receive", &format!("{message} {status}")),
        callback("receive_trailing_metadata", &[value(4), value(5)].concat()),
        callback("close", &format!("{status} (call $show)")),
    ))
}

type TestVm = Box<dyn Vm<TestHost>>;

/// A VM with a stream, number 2, whose call and stream, tokens 1 and 2, are open.
fn open(engine: &Engine, then: &str) -> (TestVm, Server, TestStream) {
    let (mut vm, server) = engine.vm(&talking(then));
    let stream = stream();
    let context = vm.open(1, stream);
    vm.call(context, HEADERS, LIMIT).unwrap();
    assert_eq!(server.take(), ["0", "0", "1", "2"]);
    (vm, server, stream)
}

fn fields() -> Fields {
    vec![(Box::from(*b"Key"), Box::from(*b"value"))]
}

fn message() -> GrpcEvent {
    GrpcEvent::Message(b"hello".to_vec())
}

fn close(status: u32) -> GrpcEvent {
    GrpcEvent::Close { status, message: b"why".to_vec() }
}

/// What a guest logs of an event.
fn told(vm: &mut TestVm, server: &Server, token: u32, event: GrpcEvent) -> String {
    vm.grpc_event(token, event, LIMIT).unwrap();
    server.take().join(" ")
}

fn a_call_and_a_stream_reach_the_host(engine: &Engine) {
    let (mut vm, server, _) = open(engine, "");
    let texts = ["svc", "pkg.S", "Do", "question"].map(str::to_owned);
    let call = Dispatched {
        token: 1,
        context: 2,
        root: 1,
        on_stream: true,
        texts: texts.to_vec(),
        maps: vec![vec![("M".into(), "v".into())]],
        timeout: Some(Duration::from_millis(90)),
    };
    let opened = Dispatched { token: 2, texts: texts[..3].to_vec(), timeout: None, ..call.clone() };
    assert_eq!(server.seen().dispatched, [call, opened]);
    server.seen().refusal = Some(Status::ParseFailure);
    let refused = vm.open(1, stream());
    vm.call(refused, HEADERS, LIMIT).unwrap();
    assert_eq!(server.take(), ["4", "4", "3", "4"]);
    assert!(vm.has_calls(2) && !vm.has_calls(refused));
}

fn arguments_are_checked(engine: &Engine) {
    let table = [("'no map'", "'m'", 48, "4"), ("''", "(i32.const -1) (i32.const 2)", 48, "6"), ("''", "'m'", -1, "6")];
    for (metadata, text, place, status) in table {
        let wasm = guest(&format!(
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (call $number (call $grpc_call 'u' {text} 'm' {metadata} 'q' (i32.const 0) (i32.const {place})))
                 (call $number (call $grpc_call 'u' 's' 'm' {metadata} {text} (i32.const 0) (i32.const {place})))
                 (call $number (call $grpc_stream {text} 's' 'm' {metadata} (i32.const {place}))) (i32.const 0))"#
        ));
        let (mut vm, server) = engine.vm(&wasm);
        let context = vm.open(1, stream());
        vm.call(context, HEADERS, LIMIT).unwrap();
        assert_eq!(server.take(), [status; 3], "{metadata} {text} {place}");
        assert_eq!(server.tokens(), [0; 0]);
    }
}

fn a_message_ends_a_call(engine: &Engine) {
    let (mut vm, server, stream) = open(engine, "");
    assert_eq!(told(&mut vm, &server, 1, GrpcEvent::InitialMetadata(fields())), "", "it is nobody's, as in Envoy");
    assert_eq!(told(&mut vm, &server, 1, GrpcEvent::TrailingMetadata(fields())), "");
    assert_eq!(stream.content().answered, 0);
    assert_eq!(told(&mut vm, &server, 1, message()), "receive 1 1 5 hello 0");
    assert_eq!(stream.content().answered, 1, "the stream that is open holds nobody");
    assert_eq!(told(&mut vm, &server, 1, message()), "");
    assert_eq!(told(&mut vm, &server, 1, close(0)), "");
    assert_eq!(stream.content().answered, 1);
}

fn a_close_ends_a_call(engine: &Engine) {
    let (mut vm, server, stream) = open(engine, "");
    assert_eq!(told(&mut vm, &server, 1, close(14)), "close 1 1 14 14 why");
    assert_eq!(told(&mut vm, &server, 1, message()), "");
    assert_eq!(stream.content().answered, 1);
}

fn a_success_without_a_message_is_none(engine: &Engine) {
    let (mut vm, server, _) = open(engine, "");
    assert_eq!(told(&mut vm, &server, 1, close(0)), "close 1 1 13 13 why");
}

fn a_stream_has_its_events_in_order(engine: &Engine) {
    let (mut vm, server, _) = open(engine, "");
    let initial = told(&mut vm, &server, 2, GrpcEvent::InitialMetadata(fields()));
    assert_eq!(initial, "receive_initial_metadata 1 2 1 value 2");
    assert_eq!(told(&mut vm, &server, 2, message()), "receive 1 2 5 hello 0");
    assert_eq!(told(&mut vm, &server, 2, GrpcEvent::Message(vec![])), "receive 1 2 0  0");
    let trailing = told(&mut vm, &server, 2, GrpcEvent::TrailingMetadata(fields()));
    assert_eq!(trailing, "receive_trailing_metadata 1 2 1 2 value");
    vm.http_call_response(2, CallResponse::default(), LIMIT).unwrap();
    assert_eq!(told(&mut vm, &server, 2, close(0)), "close 1 2 0 0 why");
    assert_eq!(told(&mut vm, &server, 2, message()), "", "it is over");
}

fn messages_are_sent_on_streams_only(engine: &Engine) {
    let send = r#"
        (call $number (call $grpc_send (i32.const 2) 'one' (i32.const 0)))
        (call $number (call $grpc_send (i32.const 2) '' (i32.const 7)))
        (call $number (call $grpc_send (i32.const 1) 'one' (i32.const 0)))
        (call $number (call $grpc_send (i32.const 9) 'one' (i32.const 0)))
        (call $number (call $grpc_send (i32.const 2) (i32.const -1) (i32.const 2) (i32.const 0)))
    "#;
    let (mut vm, server, _) = open(engine, send);
    vm.tick(1, LIMIT).unwrap();
    assert_eq!(server.take(), ["0", "0", "2", "1", "6"]);
    assert_eq!(server.on_calls(), ["2 sends one", "2 sends  and ends"]);
}

fn cancelling_and_closing(engine: &Engine) {
    let twice = |what: &str| {
        let once = |token| format!("(call $number (call $grpc_{what} (i32.const {token})))");
        [once(1), once(2), once(1), once(2), once(0)].concat()
    };
    let (mut vm, server, stream) = open(engine, &twice("cancel"));
    vm.tick(1, LIMIT).unwrap();
    assert_eq!(server.take(), ["0", "0", "1", "1", "1"]);
    assert_eq!(server.on_calls(), ["1 cancelled", "2 cancelled"]);
    assert_eq!(told(&mut vm, &server, 2, message()), "");
    assert_eq!(stream.content().answered, 0, "nothing was answered");

    let (mut vm, server, _) = open(engine, &twice("close"));
    vm.tick(1, LIMIT).unwrap();
    assert_eq!(server.take(), ["0", "0", "1", "0", "1"], "what the peer still sends comes");
    assert_eq!(server.on_calls(), ["1 cancelled", "2 closed", "2 closed"]);
    assert!(told(&mut vm, &server, 2, message()).starts_with("receive 1 2 5 hello"));

    let http = guest(
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (drop (call $http_call 'up' '' '' '' (i32.const 0) (i32.const 48)))
             (call $number (call $grpc_cancel (i32.const 1))) (call $number (call $grpc_close (i32.const 1)))
             (call $number (call $grpc_send (i32.const 1) '' (i32.const 0))) (i32.const 0))"#,
    );
    assert_eq!(engine.run(&http, super::stream()), ["1", "1", "1"], "an HTTP call is none");
}

fn what_is_being_answered_is_known_to_the_end(engine: &Engine) {
    let act = r#"
        (call $number (call $grpc_close (local.get 1))) (call $number (call $grpc_cancel (local.get 1)))
        (call $number (call $grpc_send (local.get 1) 'late' (i32.const 0)))
    "#;
    let wasm = talking(act);
    let (mut vm, server) = engine.vm(&wasm);
    let context = vm.open(1, stream());
    vm.call(context, HEADERS, LIMIT).unwrap();
    server.take();
    assert_eq!(told(&mut vm, &server, 1, message()), "receive 1 1 5 hello 0 0 0 2");
    assert_eq!(told(&mut vm, &server, 2, close(0)), "close 1 2 0 0 why 0 0 0");
    assert_eq!(server.on_calls(), [""; 0], "there is nothing to be ended");
    vm.call(context, HEADERS, LIMIT).unwrap();
    server.take();
    let cancelled = told(&mut vm, &server, 4, message());
    assert_eq!(cancelled, "receive 1 4 5 hello 0 0 0 1", "one that goes on is ended");
    assert_eq!(server.on_calls(), ["4 closed", "4 cancelled"]);
}

fn a_stream_is_waited_for_by_nobody(engine: &Engine) {
    let (mut vm, server, stream) = open(engine, "");
    assert_ne!(told(&mut vm, &server, 2, close(0)), "");
    assert_eq!(stream.content().answered, 0, "the call is still being made");
    vm.call(2, HEADERS, LIMIT).unwrap();
    vm.grpc_event(1, message(), LIMIT).unwrap();
    vm.grpc_event(3, message(), LIMIT).unwrap();
    assert_eq!(stream.content().answered, 1);
    vm.grpc_event(4, close(0), LIMIT).unwrap();
    assert_eq!(stream.content().answered, 1, "its end resumes nobody");
}

fn a_root_of_one_request_calls_nobody(engine: &Engine) {
    let ask = r#"
        (call $number (call $grpc_call 'u' 's' 'm' '' '' (i32.const 0) (i32.const 48)))
        (call $number (call $grpc_stream 'u' 's' 'm' '' (i32.const 52)))
        (call $number (i32.load (i32.const 48))) (call $number (i32.load (i32.const 52)))
    "#;
    let (mut vm, server) = engine.vm_of_kind(&talking(ask), VmKind::Stream);
    vm.tick(1, LIMIT).unwrap();
    assert_eq!((server.take().join(" "), server.tokens()), ("0 0 1 2".into(), vec![]));
}

fn the_end_of_a_context_cancels_its_streams(engine: &Engine) {
    let (mut vm, server, _) = open(engine, "");
    vm.close(2, LIMIT).unwrap();
    assert_eq!(server.on_calls(), ["1 cancelled", "2 cancelled"]);
    assert_eq!(told(&mut vm, &server, 2, message()), "");
}
