//! What is there of a stream that has ended, for a filter that is not done with it.

use std::time::Duration;

use super::guest::guest;
use super::server::{Server, TestHost, TestStream};
use super::{Engine, HEADERS, LIMIT, filter, on_every_engine, stream};
use crate::proxy_wasm::host::PropertyFormat;
use crate::proxy_wasm::vm::{DONE_PATIENCE, MAX_WAITING, Vm, VmKind};

on_every_engine! {
    maps_and_properties_are_read
    nothing_is_written
    what_the_filter_kept_is_still_there
    a_stream_that_was_gone_before_leaves_nothing
    who_is_done_at_once_sees_the_stream_itself
    nobody_waits_for_ever
    not_too_many_wait
}

/// Answers false to `on_done`; a tick makes context 2 the effective one for `body`.
fn waiting(body: &str) -> Vec<u8> {
    guest(&format!(
        r#"(func (export "proxy_on_done") (param i32) (result i32) (i32.const 0))
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (drop (call $set_property 'wasmx.mine' 'kept')) (i32.const 0))
           (func (export "proxy_on_log") (param i32) (call $say 'log'))
           (func (export "proxy_on_delete") (param i32) (call $say 'delete'))
           (func (export "proxy_on_tick") (param i32)
             (call $number (call $effective (i32.const 2)))
             {body})"#
    ))
}

/// Ends a stream with that guest, and gives what a tick logs then.
fn after_the_end(engine: &Engine, stream: TestStream, body: &str) -> Vec<String> {
    let (mut vm, server) = engine.vm(&waiting(body));
    let context = vm.open(1, stream);
    vm.call(context, HEADERS, LIMIT).unwrap();
    assert_eq!(vm.close(context, LIMIT).unwrap(), Some(DONE_PATIENCE));
    // The server's request goes, and its memory with it.
    let mut content = stream.content();
    (content.gone, content.request, content.properties) = (true, vec![], [].into());
    drop(content);
    vm.tick(1, LIMIT).unwrap();
    server.take()
}

fn maps_and_properties_are_read(engine: &Engine) {
    let stream = stream();
    stream.content().response = vec![(":status".into(), "200".into())];
    stream.content().format = PropertyFormat::Envoy;
    let read = r#"
        (call $result (call $value (i32.const 0) 'TWO' (i32.const 0) (i32.const 4)))
        (call $result (call $value (i32.const 2) ':status' (i32.const 0) (i32.const 4)))
        (call $number (call $value (i32.const 0) 'none' (i32.const 0) (i32.const 4)))
        (drop (call $pairs (i32.const 0) (i32.const 0) (i32.const 4)))
        (call $number (i32.load (i32.load (i32.const 0))))
        (call $number (call $map_size (i32.const 0) (i32.const 0)))
        (call $result (call $property 'request.path' (i32.const 0) (i32.const 4)))
        (call $result (call $property 'request.headers.two' (i32.const 0) (i32.const 4)))
        (call $number (call $property 'request.nothing' (i32.const 0) (i32.const 4)))
        (call $result (call $property 'plugin_name' (i32.const 0) (i32.const 4)))
        (drop (call $property 'request.headers_bytes' (i32.const 0) (i32.const 4)))
        (call $number (i32.load (i32.load (i32.const 0)))) (call $number (i32.load (i32.const 4)))
        (call $number (call $bytes (i32.const 0) (i32.const 0) (i32.const 9) (i32.const 0) (i32.const 4)))
    "#;
    let told = after_the_end(engine, stream, read);
    assert_eq!(told, ["0", "2a", "200", "1", "4", "0", "/p", "2a,2b", "1", "f", "25", "8", "1"]);
}

fn nothing_is_written(engine: &Engine) {
    let write = r#"
        (call $number (call $add (i32.const 0) 'a' 'b'))
        (call $number (call $replace (i32.const 2) 'a' 'b'))
        (call $number (call $remove (i32.const 0) 'a'))
        (call $number (call $set_pairs (i32.const 0) (i32.const 0) (i32.const 0)))
        (call $number (call $set_property 'ngx.a' 'b'))
        (call $number (call $set_property 'request.headers.a' 'b'))
        (call $number (call $reply (i32.const 403) '' '' '' (i32.const -1)))
        (call $number (call $continue (i32.const 0)))
    "#;
    assert_eq!(after_the_end(engine, stream(), write), ["0", "2", "2", "2", "2", "1", "1", "2", "0"]);
}

fn what_the_filter_kept_is_still_there(engine: &Engine) {
    let body = r#"
        (call $result (call $property 'wasmx.mine' (i32.const 0) (i32.const 4)))
        (call $number (call $set_property 'wasmx.mine' 'more'))
        (call $result (call $property 'wasmx.mine' (i32.const 0) (i32.const 4)))
        (call $number (call $done))
    "#;
    assert_eq!(after_the_end(engine, stream(), body), ["0", "kept", "0", "more", "0", "log", "delete"]);
}

fn a_stream_that_was_gone_before_leaves_nothing(engine: &Engine) {
    let stream = stream();
    stream.content().gone = true;
    stream.content().properties.clear();
    let read = r#"
        (call $number (call $value (i32.const 0) 'two' (i32.const 0) (i32.const 4)))
        (call $result (call $pairs (i32.const 0) (i32.const 0) (i32.const 4)))
        (call $number (call $property 'request.path' (i32.const 0) (i32.const 4)))
        (call $number (call $property 'request.headers' (i32.const 0) (i32.const 4)))
    "#;
    assert_eq!(after_the_end(engine, stream, read), ["0", "2", "", "1", "1"]);
}

fn who_is_done_at_once_sees_the_stream_itself(engine: &Engine) {
    let guest = guest(
        r#"(func (export "proxy_on_log") (param i32)
             (call $number (call $replace (i32.const 0) 'two' 'new'))
             (call $result (call $value (i32.const 0) 'two' (i32.const 0) (i32.const 4))))"#,
    );
    let (mut vm, server) = engine.vm(&guest);
    let context = vm.open(1, stream());
    assert_eq!(vm.close(context, LIMIT).unwrap(), None);
    assert_eq!(server.take(), ["0", "new"]);
}

fn vm_that_waits(engine: &Engine, patience: Duration) -> (Box<dyn Vm<TestHost>>, Server) {
    let server = Server::default();
    let program = engine.program_that_waits(&waiting("(call $number (call $done))"), patience);
    let mut vm = program.start(server.host(), VmKind::Root).unwrap();
    assert_eq!(vm.add_root(filter()).unwrap(), 1);
    (vm, server)
}

fn nobody_waits_for_ever(engine: &Engine) {
    let patience = Duration::from_millis(20);
    let (mut vm, server) = vm_that_waits(engine, patience);
    let context = vm.open(1, stream());
    vm.call(context, HEADERS, LIMIT).unwrap();
    assert_eq!(vm.close(context, LIMIT).unwrap(), Some(patience));
    std::thread::sleep(patience);
    assert_eq!(vm.expire(LIMIT).unwrap(), None);
    assert_eq!(server.take(), ["log", "delete"]);
    vm.tick(1, LIMIT).unwrap();
    assert_eq!(server.take(), ["2", "1"], "there is nothing to be done with");

    let (mut vm, server) = vm_that_waits(engine, DONE_PATIENCE);
    let context = vm.open(1, stream());
    vm.call(context, HEADERS, LIMIT).unwrap();
    vm.close(context, LIMIT).unwrap();
    let left = vm.expire(LIMIT).unwrap().expect("it waits");
    assert!(left <= DONE_PATIENCE && left > DONE_PATIENCE / 2, "{left:?}");
    assert_eq!(server.take(), [""; 0]);
    vm.tick(1, LIMIT).unwrap();
    assert_eq!(server.take(), ["0", "0", "log", "delete"]);
    assert_eq!(vm.expire(LIMIT).unwrap(), None);
}

fn not_too_many_wait(engine: &Engine) {
    let (mut vm, server) = engine.vm(&waiting("(call $number (call $done))"));
    let stream = stream();
    let end = |vm: &mut Box<dyn Vm<TestHost>>| {
        let context = vm.open(1, stream);
        vm.close(context, LIMIT).unwrap();
    };
    (0..MAX_WAITING).for_each(|_| end(&mut vm));
    assert_eq!(server.take(), [""; 0], "all of them wait");
    end(&mut vm);
    end(&mut vm);
    let line = "too many contexts wait for proxy_done: others end without it";
    assert_eq!(server.take(), [line, "log", "delete", "log", "delete"], "told once");
    vm.tick(1, LIMIT).unwrap();
    assert_eq!(server.take(), ["0", "0", "log", "delete"]);
    end(&mut vm);
    assert_eq!(server.take(), [""; 0], "there is room for one again");
}
