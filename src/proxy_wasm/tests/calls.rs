//! HTTP calls: what is asked for, what comes back, and for whom.

use std::time::Duration;

use super::guest::{guest, map_at};
use super::server::{Dispatched, Server, TestHost};
use super::{Engine, HEADERS, LIMIT, VmError, VmKind, on_every_engine, stream};
use crate::proxy_wasm::abi::Status;
use crate::proxy_wasm::calls::MAX_CALLS;
use crate::proxy_wasm::vm::{CallFailure, CallResponse, Fields, GrpcEvent, Vm};

on_every_engine! {
    a_call_reaches_the_host
    tokens_are_written_before_the_host_is_asked
    arguments_are_checked_before_the_host_is_asked
    before_there_is_a_context
    a_root_calls_for_itself
    a_root_of_one_request_calls_nobody
    an_answer_is_seen_in_its_callback
    outside_of_the_callback_there_is_no_answer
    a_failure_has_no_parts
    a_message_is_text
    an_answer_to_nobody_is_dropped
    the_end_of_a_context_cancels_its_calls
    a_context_that_waits_keeps_its_calls
    the_end_of_a_vm_cancels_all_calls
    putting_a_vm_back_cancels_all_calls
    a_stream_goes_on_after_its_last_answer
    a_call_out_of_an_answer_is_of_the_same_context
    a_trap_in_an_answer_resumes_nobody
    who_does_not_listen_goes_on_all_the_same
    calls_are_bounded
}

/// Its `$ask` makes a call and logs status and token; the callback of the answer logs its arguments and runs `answered`.
pub fn calling(answered: &str) -> Vec<u8> {
    let (headers, headers_size) = map_at(32_768, &[(":method", "GET"), (":path", "/"), ("X", "y")]);
    let (trailers, trailers_size) = map_at(33_792, &[("t", "1")]);
    guest(&format!(
        r#"{headers} {trailers}
           (func $ask (call $number
               (call $http_call 'up:80' (i32.const 32768) (i32.const {headers_size}) 'body'
                 (i32.const 33792) (i32.const {trailers_size}) (i32.const 250) (i32.const 48)))
             (call $number (i32.load (i32.const 48))))
           (func $show_status
             (call $number (call $status (i32.const 8) (i32.const 0) (i32.const 4)))
             (call $number (i32.load (i32.const 8))) (call $show))
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (call $ask) (i32.const 1))
           (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (call $show_status) (i32.const 0))
           (func (export "proxy_on_tick") (param i32) (call $ask))
           (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
             (call $number (local.get 0)) (call $number (local.get 1)) (call $number (local.get 2))
             (call $number (local.get 3)) (call $number (local.get 4)) {answered})"#
    ))
}

fn fields(pairs: &[(&str, &str)]) -> Fields {
    pairs.iter().map(|(name, value)| (name.as_bytes().into(), value.as_bytes().into())).collect()
}

fn ok() -> CallResponse {
    let headers = fields(&[(":status", "200"), ("X-One", "1")]);
    CallResponse { headers, body: b"the body".to_vec(), trailers: fields(&[("T", "2")]), failure: None }
}

type TestVm = Box<dyn Vm<TestHost>>;

/// A VM with a stream, number 2, whose call of token 1 is being made.
fn waiting(engine: &Engine, guest: &[u8]) -> (TestVm, Server, super::TestStream) {
    let (mut vm, server) = engine.vm(guest);
    let stream = stream();
    let context = vm.open(1, stream);
    vm.call(context, HEADERS, LIMIT).unwrap();
    assert_eq!((context, server.tokens()), (2, vec![1]));
    server.take();
    (vm, server, stream)
}

fn a_call_reaches_the_host(engine: &Engine) {
    let (mut vm, server) = engine.vm(&calling(""));
    let context = vm.open(1, stream());
    assert!(!vm.has_calls(context));
    vm.call(context, HEADERS, LIMIT).unwrap();
    vm.call(context, HEADERS, LIMIT).unwrap();
    assert_eq!(server.take(), ["0", "1", "0", "2"]);
    assert!(vm.has_calls(context) && !vm.has_calls(1) && !vm.has_calls(0));
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let call = Dispatched {
        token: 1,
        context: 2,
        root: 1,
        on_stream: true,
        texts: vec!["up:80".into(), "body".into()],
        maps: vec![vec![pair(":method", "GET"), pair(":path", "/"), pair("X", "y")], vec![pair("t", "1")]],
        timeout: Some(Duration::from_millis(250)),
    };
    assert_eq!(server.seen().dispatched, [call.clone(), Dispatched { token: 2, ..call }]);
}

fn tokens_are_written_before_the_host_is_asked(engine: &Engine) {
    let (mut vm, server) = engine.vm(&calling(""));
    let context = vm.open(1, stream());
    for (refusal, lines) in [(Status::BadArgument, ["2", "1"]), (Status::InternalFailure, ["10", "2"])] {
        server.seen().refusal = Some(refusal);
        vm.call(context, HEADERS, LIMIT).unwrap();
        assert_eq!(server.take(), lines);
        assert!(!vm.has_calls(context), "no answer will come");
    }
    vm.http_call_response(1, ok(), LIMIT).unwrap();
    vm.close(context, LIMIT).unwrap();
    assert_eq!((server.take(), server.on_calls()), (vec![], vec![]));
}

fn arguments_are_checked_before_the_host_is_asked(engine: &Engine) {
    let (map, size) = map_at(32_768, &[("a", "b")]);
    let good = format!("(i32.const 32768) (i32.const {size})");
    let short = format!("(i32.const 32768) (i32.const {})", size - 1);
    let (none, far) = ("(i32.const 0) (i32.const 0)", "(i32.const 131070) (i32.const 9)");
    let table = [
        ("'up'", good.as_str(), none, none, 48, "0"),
        ("'up'", good.as_str(), none, none, -1, "6"),
        ("'up'", good.as_str(), none, none, 131_069, "6"),
        (far, good.as_str(), none, none, 48, "6"),
        ("'up'", far, none, none, 48, "6"),
        ("'up'", good.as_str(), far, none, 48, "6"),
        ("'up'", good.as_str(), none, far, 48, "6"),
        ("'up'", short.as_str(), none, none, 48, "2"),
        ("'up'", good.as_str(), none, short.as_str(), 48, "2"),
    ];
    for (upstream, headers, body, trailers, place, status) in table {
        let wasm = guest(&format!(
            r#"{map} (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (call $number (call $http_call {upstream} {headers} {body} {trailers}
                   (i32.const 0) (i32.const {place}))) (i32.const 0))"#
        ));
        let (mut vm, server) = engine.vm(&wasm);
        let context = vm.open(1, stream());
        vm.call(context, HEADERS, LIMIT).unwrap();
        assert_eq!(server.take(), [status], "{upstream} {headers} {body} {trailers} {place}");
        assert_eq!(server.seen().dispatched.len(), usize::from(status == "0"));
        assert_eq!(vm.has_calls(context), status == "0");
    }
}

fn before_there_is_a_context(engine: &Engine) {
    let start = r#"(func (export "_start")
        (call $number (call $http_call 'up' '' '' '' (i32.const 0) (i32.const 48)))
        (call $number (call $grpc_call 'up' 's' 'm' '' '' (i32.const 0) (i32.const 48)))
        (call $number (call $grpc_stream 'up' 's' 'm' '' (i32.const 48)))
        (call $number (call $status (i32.const 8) (i32.const 0) (i32.const 4))))"#;
    let (_vm, server) = engine.vm(&guest(start));
    assert_eq!(server.take(), ["2", "10", "10", "0"]);
    assert_eq!(server.tokens(), [0; 0]);
}

fn a_root_calls_for_itself(engine: &Engine) {
    let (mut vm, server) = engine.vm(&calling(""));
    vm.tick(1, LIMIT).unwrap();
    let call = server.seen().dispatched[0].clone();
    assert_eq!((call.context, call.root, call.on_stream), (1, 1, false));
    assert!(vm.has_calls(1));
    server.take();
    vm.http_call_response(1, ok(), LIMIT).unwrap();
    assert_eq!(server.take(), ["1", "1", "2", "8", "1"]);
    assert!(!vm.has_calls(1));
}

fn a_root_of_one_request_calls_nobody(engine: &Engine) {
    let (mut vm, server) = engine.vm_of_kind(&calling(""), VmKind::Stream);
    vm.tick(1, LIMIT).unwrap();
    assert_eq!((server.take(), server.tokens()), (vec!["0".to_owned(), "1".to_owned()], vec![]));
    assert!(!vm.has_calls(1));
    let context = vm.open(1, stream());
    vm.call(context, HEADERS, LIMIT).unwrap();
    assert_eq!((server.take(), server.tokens()), (vec!["0".to_owned(), "2".to_owned()], vec![2]));
}

/// Reads all of an answer, and tries to change it.
const READ: &str = r#"
    (call $result (call $value (i32.const 6) ':STATUS' (i32.const 0) (i32.const 4)))
    (call $result (call $value (i32.const 6) 'x-one' (i32.const 0) (i32.const 4)))
    (call $number (call $value (i32.const 6) 'none' (i32.const 0) (i32.const 4)))
    (call $result (call $value (i32.const 7) 't' (i32.const 0) (i32.const 4)))
    (drop (call $pairs (i32.const 6) (i32.const 0) (i32.const 4)))
    (call $number (i32.load (i32.load (i32.const 0))))
    (call $number (call $map_size (i32.const 7) (i32.const 8))) (call $number (i32.load (i32.const 8)))
    (call $result (call $bytes (i32.const 4) (i32.const 4) (i32.const 99) (i32.const 0) (i32.const 4)))
    (call $number (call $buffer_status (i32.const 4) (i32.const 8) (i32.const 12)))
    (call $number (i32.load (i32.const 8)))
    (call $number (call $set_bytes (i32.const 4) (i32.const 0) (i32.const 0) 'x'))
    (call $number (call $add (i32.const 6) 'a' 'b')) (call $number (call $replace (i32.const 7) 'a' 'b'))
    (call $number (call $remove (i32.const 6) 'a'))
    (call $number (call $set_pairs (i32.const 7) (i32.const 0) (i32.const 0)))
    (call $number (call $bytes (i32.const 5) (i32.const 0) (i32.const 9) (i32.const 0) (i32.const 4)))
    (call $number (call $value (i32.const 4) 'a' (i32.const 0) (i32.const 4)))
    (call $show_status)
"#;

fn an_answer_is_seen_in_its_callback(engine: &Engine) {
    let once = "200 1 1 2 2 0 16 body 0 8 2 2 2 2 2 1 2 0 0 ";
    let set = "(call $result (call $value (i32.const 0) 'x-one' (i32.const 0) (i32.const 4)))
        (call $number (call $effective (i32.const 2)))
        (call $result (call $value (i32.const 0) 'x-one' (i32.const 0) (i32.const 4)))";
    let (mut vm, server, stream) = waiting(engine, &calling(&[READ, set, READ].concat()));
    vm.http_call_response(1, ok(), LIMIT).unwrap();
    // It begins as the root's, which has no request headers.
    assert_eq!(server.take().join(" "), format!("1 1 2 8 1 {once} 2 0 1 {once}"));
    assert!(!vm.has_calls(2));
    assert_eq!(stream.content().request.len(), 4);
}

fn outside_of_the_callback_there_is_no_answer(engine: &Engine) {
    let outside = guest(
        r#"(func $all
             (call $result (call $pairs (i32.const 6) (i32.const 0) (i32.const 4)))
             (call $result (call $pairs (i32.const 7) (i32.const 0) (i32.const 4)))
             (call $number (call $value (i32.const 6) ':status' (i32.const 0) (i32.const 4)))
             (call $number (call $bytes (i32.const 4) (i32.const 0) (i32.const 9) (i32.const 0) (i32.const 4)))
             (call $number (call $status (i32.const 8) (i32.const 0) (i32.const 4)))
             (call $number (i32.load (i32.const 8))) (call $show))
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (drop (call $http_call 'up' '' '' '' (i32.const 0) (i32.const 48))) (call $all) (i32.const 1))
           (func (export "proxy_on_response_headers") (param i32 i32) (result i32) (call $all) (i32.const 0))"#,
    );
    let (mut vm, server) = engine.vm(&outside);
    let context = vm.open(1, stream());
    vm.call(context, HEADERS, LIMIT).unwrap();
    assert_eq!(server.take(), ["", "", "2", "1", "0", "0", ""]);
    vm.http_call_response(1, CallResponse::failed(11, "timeout"), LIMIT).unwrap();
    let response = super::Callback::ResponseHeaders { count: 0, end_of_stream: true };
    vm.call(context, response, LIMIT).unwrap();
    assert_eq!(server.take(), ["", "", "2", "1", "0", "11", ""], "the last code stays, as in Envoy");
}

fn a_failure_has_no_parts(engine: &Engine) {
    let read = r#"
        (call $result (call $value (i32.const 6) ':dispatch_status' (i32.const 0) (i32.const 4)))
        (call $number (call $value (i32.const 6) ':status' (i32.const 0) (i32.const 4)))
        (call $number (call $value (i32.const 7) 't' (i32.const 0) (i32.const 4)))
        (call $result (call $bytes (i32.const 4) (i32.const 0) (i32.const 99) (i32.const 0) (i32.const 4)))
        (call $show_status)
    "#;
    let (mut vm, server, stream) = waiting(engine, &calling(read));
    vm.http_call_response(1, CallResponse::failed(11, "broken connection"), LIMIT).unwrap();
    let seen = ["1", "1", "0", "0", "0", "broken connection", "1", "1", "", "0", "11", "broken connection"];
    assert_eq!(server.take(), seen);
    assert_eq!(stream.content().answered, 1, "a failure is an answer");
}

fn a_message_is_text(engine: &Engine) {
    let (mut vm, server, _) = waiting(engine, &calling("(call $show_status) (call $number (i32.load (i32.const 4)))"));
    let failure = Some(CallFailure { code: 1, message: vec![b'a', 0xff] });
    vm.http_call_response(1, CallResponse { failure, ..ok() }, LIMIT).unwrap();
    assert_eq!(server.take(), ["1", "1", "0", "0", "0", "0", "1", "a\u{fffd}", "4"]);
}

fn an_answer_to_nobody_is_dropped(engine: &Engine) {
    let (mut vm, server, stream) = waiting(engine, &calling(""));
    vm.grpc_event(1, GrpcEvent::Message(vec![]), LIMIT).unwrap();
    assert!(vm.has_calls(2), "it is no answer to an HTTP call");
    for token in [1, 1, 2, 0, u32::MAX] {
        vm.http_call_response(token, ok(), LIMIT).unwrap();
    }
    assert_eq!(server.take(), ["1", "1", "2", "8", "1"], "one call, one answer");
    assert_eq!(stream.content().answered, 1);
}

fn the_end_of_a_context_cancels_its_calls(engine: &Engine) {
    type End = fn(&mut TestVm);
    let ends: [End; 2] = [|vm| assert_eq!(vm.close(2, LIMIT).unwrap(), None), |vm| vm.detach(2)];
    for end in ends {
        let (mut vm, server, stream) = waiting(engine, &calling(""));
        let other = vm.open(1, stream);
        vm.call(other, HEADERS, LIMIT).unwrap();
        vm.call(2, HEADERS, LIMIT).unwrap();
        server.take();
        end(&mut vm);
        assert_eq!(server.on_calls(), ["1 cancelled", "3 cancelled"]);
        assert!(!vm.has_calls(2) && vm.has_calls(other));
        vm.http_call_response(1, ok(), LIMIT).unwrap();
        assert_eq!((server.take(), stream.content().answered), (vec![], 0), "nobody is left to hear it");
    }
}

fn a_context_that_waits_keeps_its_calls(engine: &Engine) {
    let done = r#"(func (export "proxy_on_done") (param i32) (result i32) (i32.const 0))"#;
    let ask = r#"(call $http_call 'up' '' '' '' (i32.const 0) (i32.const 48))"#;
    let wasm = guest(&format!(
        r#"{done}
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (drop {ask}) (i32.const 0))
           (func (export "proxy_on_delete") (param i32) (drop {ask}))
           (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
             (call $say 'answered') (drop {ask}) (drop (call $effective (i32.const 2))) (drop (call $done)))"#
    ));
    let (mut vm, server, stream) = waiting(engine, &wasm);
    assert!(vm.close(2, LIMIT).unwrap().is_some());
    assert!(vm.has_calls(2));
    vm.http_call_response(1, ok(), LIMIT).unwrap();
    assert_eq!(server.take(), ["answered"]);
    assert_eq!((server.tokens(), server.on_calls().join(" ")), (vec![2, 3], "2 cancelled 3 cancelled".into()));
    assert_eq!(stream.content().answered, 0, "its stream has ended");
}

fn the_end_of_a_vm_cancels_all_calls(engine: &Engine) {
    let trap = calling("(unreachable)");
    let (mut vm, server, _) = waiting(engine, &trap);
    vm.tick(1, LIMIT).unwrap();
    assert!(matches!(vm.http_call_response(1, ok(), LIMIT), Err(VmError::Trap(_))));
    assert_eq!(server.on_calls(), ["2 cancelled"]);
    assert!(matches!(vm.http_call_response(2, ok(), LIMIT), Err(VmError::Dead)));
    drop(vm);
    assert_eq!(server.on_calls(), [""; 0]);

    let (vm, server, _) = waiting(engine, &trap);
    drop(vm);
    assert_eq!(server.on_calls(), ["1 cancelled"]);
}

fn putting_a_vm_back_cancels_all_calls(engine: &Engine) {
    let (mut vm, server) = engine.vm(&calling(""));
    vm.tick(1, LIMIT).unwrap();
    assert!(!vm.remember(), "a root waits for an answer");
    vm.http_call_response(1, ok(), LIMIT).unwrap();
    assert!(vm.remember());
    vm.tick(1, LIMIT).unwrap();
    assert!(vm.rewind().is_some());
    assert_eq!(server.on_calls(), ["2 cancelled"]);
    server.take();
    vm.http_call_response(2, ok(), LIMIT).unwrap();
    vm.tick(1, LIMIT).unwrap();
    assert_eq!(server.take(), ["0", "3"], "the token of a late answer is not used again");
}

fn a_stream_goes_on_after_its_last_answer(engine: &Engine) {
    let (mut vm, _, stream) = waiting(engine, &calling(""));
    vm.call(2, HEADERS, LIMIT).unwrap();
    vm.tick(1, LIMIT).unwrap();
    let answered = |vm: &mut TestVm, token| {
        vm.http_call_response(token, ok(), LIMIT).unwrap();
        stream.content().answered
    };
    assert_eq!(answered(&mut vm, 2), 0, "it waits for another");
    assert_eq!(answered(&mut vm, 1), 1);
    assert_eq!(answered(&mut vm, 3), 1, "a root's answer is not the stream's");
}

fn a_call_out_of_an_answer_is_of_the_same_context(engine: &Engine) {
    let ask_once = "(if (i32.eq (local.get 1) (i32.const 1)) (then (call $ask)))";
    for set in ["", "(drop (call $effective (i32.const 2)))"] {
        let (mut vm, server, stream) = waiting(engine, &calling(&[set, ask_once].concat()));
        vm.http_call_response(1, ok(), LIMIT).unwrap();
        let call = server.seen().dispatched[0].clone();
        assert_eq!((call.token, call.context, call.root, call.on_stream), (2, 2, 1, true));
        assert_eq!(stream.content().answered, 0, "it waits for the next");
        vm.http_call_response(2, ok(), LIMIT).unwrap();
        assert_eq!(stream.content().answered, 1);
    }
}

fn a_trap_in_an_answer_resumes_nobody(engine: &Engine) {
    let (mut vm, _, stream) = waiting(engine, &calling("(unreachable)"));
    vm.http_call_response(1, ok(), LIMIT).unwrap_err();
    assert_eq!(stream.content().answered, 0);
}

fn who_does_not_listen_goes_on_all_the_same(engine: &Engine) {
    let deaf = guest(
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (drop (call $http_call 'up' '' '' '' (i32.const 0) (i32.const 48))) (i32.const 1))"#,
    );
    let (mut vm, _, stream) = waiting(engine, &deaf);
    vm.http_call_response(1, ok(), LIMIT).unwrap();
    assert!(!vm.has_calls(2));
    assert_eq!(stream.content().answered, 1);
}

fn calls_are_bounded(engine: &Engine) {
    let ask = "(call $http_call 'up' '' '' '' (i32.const 0) (i32.const 48))";
    let wasm = guest(&format!(
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (call $number {ask}) (i32.const 0))
           (func (export "proxy_on_tick") (param i32) (local $left i32)
             (local.set $left (i32.const {MAX_CALLS}))
             (loop $more
               (drop {ask})
               (local.set $left (i32.sub (local.get $left) (i32.const 1)))
               (br_if $more (local.get $left))))"#
    ));
    let (mut vm, server) = engine.vm(&wasm);
    vm.tick(1, LIMIT).unwrap();
    assert_eq!((server.tokens().len(), server.take()), (MAX_CALLS, vec![]));
    let context = vm.open(1, stream());
    vm.call(context, HEADERS, LIMIT).unwrap();
    vm.call(context, HEADERS, LIMIT).unwrap();
    assert_eq!(server.take(), ["a call is refused: 10000 others are being made", "10", "10"], "told once");
    assert_eq!(server.tokens(), [0; 0]);
    vm.http_call_response(7, ok(), LIMIT).unwrap();
    vm.call(context, HEADERS, LIMIT).unwrap();
    assert_eq!(server.take(), ["0"], "there is room for one again");
}
