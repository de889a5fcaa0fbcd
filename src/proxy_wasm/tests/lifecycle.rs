//! Contexts from create to delete, and what ends a VM.

use std::sync::Arc;

use engines::TrapKind;

use super::guest::guest;
use super::{Action, Callback, Engine, FilterConfig, HEADERS, LIMIT, VmError, VmKind, filter, on_every_engine, stream};

on_every_engine! {
    a_stream_has_one_life
    a_context_is_created_by_its_first_callback
    a_context_that_was_never_created
    a_module_that_only_logs
    headers_callbacks_have_two_arities
    every_callback_reaches_its_export
    every_action_but_continue_pauses
    a_context_can_wait_for_done
    done_with_none_pending
    a_vm_of_one_request_waits_for_nothing
    an_effective_context_lasts_as_long_as_the_callback
    several_roots_share_a_vm
    a_trap_is_the_end
    a_loop_is_the_end
    a_trap_in_the_allocator_is_the_end
    unknown_contexts_are_told
    streams_are_known_until_they_close
}

/// Each callback says its name and the context.
const TRACE: &str = r#"
    (func (export "proxy_on_context_create") (param i32 i32)
      (call $say 'create') (call $number (local.get 0)) (call $number (local.get 1)))
    (func (export "proxy_on_vm_start") (param i32 i32) (result i32)
      (call $say 'vm_start') (call $number (local.get 0)) (call $number (local.get 1)) (i32.const 1))
    (func (export "proxy_on_configure") (param i32 i32) (result i32)
      (call $say 'configure') (call $number (local.get 0)) (call $number (local.get 1)) (i32.const 1))
    (func (export "proxy_on_log") (param i32) (call $say 'log') (call $number (local.get 0)))
    (func (export "proxy_on_delete") (param i32) (call $say 'delete') (call $number (local.get 0)))
"#;

const TRACE_DONE: &str = r#"
    (func (export "proxy_on_done") (param i32) (result i32)
      (call $say 'done') (call $number (local.get 0)) (i32.const 1))
"#;

const TRACE_HEADERS: &str = r#"
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
      (call $say 'headers') (call $number (local.get 0)) (call $number (local.get 1)) (call $number (local.get 2))
      (i32.const 0))
    (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
      (call $say 'response') (call $number (local.get 0)) (i32.const 0))
"#;

const RESPONSE: Callback = Callback::ResponseHeaders { count: 0, end_of_stream: false };

fn a_stream_has_one_life(engine: &Engine) {
    let (mut vm, server) = engine.vm(&guest(&[TRACE, TRACE_DONE, TRACE_HEADERS].concat()));
    assert_eq!(server.take().join(" "), "create 1 0 vm_start 1 9 configure 1 13");
    let context = vm.open(1, stream());
    assert_eq!(server.take().join(" "), "", "the guest has not heard of it");
    assert_eq!(vm.call(context, HEADERS, LIMIT).unwrap(), Action::Continue);
    assert_eq!(server.take().join(" "), "create 2 1 headers 2 3 1");
    vm.call(context, RESPONSE, LIMIT).unwrap();
    assert_eq!(server.take().join(" "), "response 2");
    vm.close(context, LIMIT).unwrap();
    assert_eq!(server.take().join(" "), "done 2 log 2 delete 2");
    assert!(matches!(vm.close(context, LIMIT), Err(VmError::NoContext)));
    assert_eq!(server.take().join(" "), "");
}

fn a_context_is_created_by_its_first_callback(engine: &Engine) {
    let (mut vm, server) = engine.vm(&guest(&[TRACE, TRACE_DONE, TRACE_HEADERS].concat()));
    server.take();
    let context = vm.open(1, stream());
    let body = Callback::RequestBody { size: 1, end_of_stream: true };
    assert_eq!(vm.call(context, body, LIMIT).unwrap(), Action::Continue, "not exported");
    assert_eq!(server.take().join(" "), "");
    vm.call(context, RESPONSE, LIMIT).unwrap();
    assert_eq!(server.take().join(" "), "create 2 1 response 2");
}

fn a_context_that_was_never_created(engine: &Engine) {
    let quiet = TRACE.replace("proxy_on_log", "other");
    let (mut vm, server) = engine.vm(&guest(&[&quiet, TRACE_DONE, TRACE_HEADERS].concat()));
    server.take();
    let context = vm.open(1, stream());
    vm.close(context, LIMIT).unwrap();
    assert_eq!(server.take().join(" "), "", "no create, no delete");
    assert!(matches!(vm.call(context, HEADERS, LIMIT), Err(VmError::NoContext)));
}

/// `on_log` is a callback that needs the context.
fn a_module_that_only_logs(engine: &Engine) {
    let (mut vm, server) = engine.vm(&guest(TRACE));
    server.take();
    let context = vm.open(1, stream());
    vm.close(context, LIMIT).unwrap();
    assert_eq!(server.take().join(" "), "create 2 1 log 2 delete 2");
}

fn headers_callbacks_have_two_arities(engine: &Engine) {
    let guest = guest(
        r#"(func (export "proxy_on_request_headers") (param i32 i32) (result i32) (local.get 1))
           (func (export "proxy_on_response_headers") (param i32 i32) (result i32) (local.get 1))"#,
    );
    let (mut vm, _) = engine.vm(&guest);
    let context = vm.open(1, stream());
    for (count, action) in [(0, Action::Continue), (3, Action::Pause)] {
        let request = Callback::RequestHeaders { count, end_of_stream: true };
        let response = Callback::ResponseHeaders { count, end_of_stream: true };
        assert_eq!(vm.call(context, request, LIMIT).unwrap(), action);
        assert_eq!(vm.call(context, response, LIMIT).unwrap(), action);
    }
}

fn every_callback_reaches_its_export(engine: &Engine) {
    let export = |name: &str, params: &str, last: u32| {
        format!(
            r#"(func (export "proxy_on_{name}") (param {params}) (result i32)
                 (call $say '{name}') (call $number (local.get {last})) (i32.const 0))"#
        )
    };
    let mut text = String::new();
    for name in ["request_body", "response_body", "request_headers", "response_headers"] {
        text += &export(name, "i32 i32 i32", 1);
    }
    for name in ["request_trailers", "response_trailers"] {
        text += &export(name, "i32 i32", 1);
    }
    let (mut vm, server) = engine.vm(&guest(&text));
    let context = vm.open(1, stream());
    for callback in [
        Callback::RequestHeaders { count: 1, end_of_stream: false },
        Callback::RequestBody { size: 2, end_of_stream: false },
        Callback::RequestTrailers { count: 3 },
        Callback::ResponseHeaders { count: 4, end_of_stream: false },
        Callback::ResponseBody { size: 5, end_of_stream: false },
        Callback::ResponseTrailers { count: 6 },
    ] {
        assert!(engine.program(&guest(&text)).callbacks().contains(callback.kind()));
        vm.call(context, callback, LIMIT).unwrap();
    }
    let lines = server.take().join(" ");
    assert_eq!(
        lines,
        "request_headers 1 request_body 2 request_trailers 3 response_headers 4 response_body 5 response_trailers 6"
    );
}

fn every_action_but_continue_pauses(engine: &Engine) {
    let guest = guest(r#"(func (export "proxy_on_request_headers") (param i32 i32) (result i32) (local.get 1))"#);
    let (mut vm, _) = engine.vm(&guest);
    let context = vm.open(1, stream());
    for (count, action) in [(0, Action::Continue), (1, Action::Pause), (4, Action::Pause), (u32::MAX, Action::Pause)] {
        let callback = Callback::RequestHeaders { count, end_of_stream: true };
        assert_eq!(vm.call(context, callback, LIMIT).unwrap(), action);
    }
}

/// Answers false to `on_done`; a tick then ends the wait of context 2.
const WAIT: &str = r#"
    (func (export "proxy_on_done") (param i32) (result i32)
      (call $say 'done') (call $number (local.get 0)) (i32.const 0))
    (func (export "proxy_on_tick") (param i32)
      (call $number (call $effective (i32.const 2))) (call $number (call $done)) (call $number (call $done))
      (call $result (call $value (i32.const 0) 'two' (i32.const 0) (i32.const 4)))
      (call $say 'ticked'))
"#;

fn a_context_can_wait_for_done(engine: &Engine) {
    let (mut vm, server) = engine.vm(&guest(&[TRACE, WAIT, TRACE_HEADERS].concat()));
    let context = vm.open(1, stream());
    vm.call(context, HEADERS, LIMIT).unwrap();
    server.take();
    vm.close(context, LIMIT).unwrap();
    assert_eq!(server.take().join(" "), "done 2");
    assert!(vm.streams().is_empty(), "its stream is forgotten");
    vm.close(context, LIMIT).unwrap();
    assert_eq!(server.take().join(" "), "", "once is enough");
    vm.tick(1, LIMIT).unwrap();
    assert_eq!(server.take().join(" "), "0 0 1 2a ticked log 2 delete 2", "deleted after the callback");
    vm.tick(1, LIMIT).unwrap();
    assert_eq!(server.take().join(" "), "2 1 1 2 ticked", "the context is gone");
}

fn done_with_none_pending(engine: &Engine) {
    let guest = super::guest::on_request_headers("(call $number (call $done))");
    assert_eq!(engine.run(&guest, stream()), ["1"]);
}

fn a_vm_of_one_request_waits_for_nothing(engine: &Engine) {
    let (mut vm, server) = engine.vm_of_kind(&guest(&[TRACE, WAIT, TRACE_HEADERS].concat()), VmKind::Stream);
    assert_eq!(server.take().join(" "), "create 1 0 configure 1 13", "no on_vm_start");
    let context = vm.open(1, stream());
    vm.call(context, HEADERS, LIMIT).unwrap();
    server.take();
    vm.close(context, LIMIT).unwrap();
    assert_eq!(server.take().join(" "), "done 2 log 2 delete 2");
}

fn an_effective_context_lasts_as_long_as_the_callback(engine: &Engine) {
    let guest = guest(
        r#"(func (export "proxy_on_context_create") (param i32 i32)
             (if (local.get 1) (then (drop (call $effective (i32.const 1))))))
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (call $result (call $value (i32.const 0) 'who' (i32.const 0) (i32.const 4)))
             (call $number (call $effective (i32.const 2)))
             (call $result (call $value (i32.const 0) 'who' (i32.const 0) (i32.const 4)))
             (call $number (call $effective (i32.const 77)))
             (call $number (call $effective (i32.const 0)))
             (call $number (call $effective (i32.const 4)))
             (call $result (call $value (i32.const 0) 'who' (i32.const 0) (i32.const 4)))
             (i32.const 0))"#,
    );
    let (mut vm, server) = engine.vm(&guest);
    let [first, second, never] = ["first", "second", "never"].map(|who| {
        let stream = stream();
        stream.content().request = vec![("who".into(), who.into())];
        vm.open(1, stream)
    });
    assert_eq!([first, second, never], [2, 3, 4]);
    vm.call(first, HEADERS, LIMIT).unwrap();
    assert_eq!(server.take().join(" "), "first 0 first 2 2 2 first", "4 was not created yet");
    vm.call(second, HEADERS, LIMIT).unwrap();
    assert_eq!(server.take().join(" "), "second 0 first 2 2 2 first");
    vm.call(second, HEADERS, LIMIT).unwrap();
    assert_eq!(server.take().join(" "), "second 0 first 2 2 2 first", "it was reset");
}

fn several_roots_share_a_vm(engine: &Engine) {
    let (mut vm, server) = engine.vm(&guest(&[TRACE, TRACE_HEADERS].concat()));
    server.take();
    let other = FilterConfig { name: "f".into(), root_id: vec![], config: b"longer config".to_vec() };
    let root = vm.add_root(Arc::new(other)).unwrap();
    assert_eq!(root, 2);
    assert_eq!(server.take().join(" "), "create 2 0 vm_start 2 9 configure 2 13");
    let context = vm.open(root, stream());
    vm.call(context, HEADERS, LIMIT).unwrap();
    assert!(server.seen().lines.iter().all(|line| line.root == 2));
    assert_eq!(server.take().join(" "), "create 3 2 headers 3 3 1");
}

fn a_trap_is_the_end(engine: &Engine) {
    let guest = guest(
        r#"(func (export "proxy_on_request_headers") (param i32 i32) (result i32)
             (if (local.get 1) (then (unreachable))) (i32.const 0))"#,
    );
    let (mut vm, _) = engine.vm(&guest);
    let [other, bad, never] = [stream(), stream(), stream()].map(|stream| vm.open(1, stream));
    vm.call(other, Callback::RequestHeaders { count: 0, end_of_stream: true }, LIMIT).unwrap();
    assert!(vm.alive());
    let Err(VmError::Trap(trap)) = vm.call(bad, HEADERS, LIMIT) else { panic!("it traps") };
    assert_eq!(trap.kind(), TrapKind::Guest);
    assert!(!vm.alive());
    assert_eq!(vm.streams().len(), 2, "{never} was never created");
    assert!(matches!(vm.call(other, HEADERS, LIMIT), Err(VmError::Dead)));
    assert!(matches!(vm.tick(1, LIMIT), Err(VmError::Dead)));
    assert!(matches!(vm.close(other, LIMIT), Err(VmError::Dead)));
    vm.close(never, LIMIT).unwrap();
    assert!(vm.add_root(filter()).is_err());
}

fn a_loop_is_the_end(engine: &Engine) {
    let guest = guest(
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (loop $for (br $for)) (i32.const 0))"#,
    );
    let (mut vm, _) = engine.vm(&guest);
    let context = vm.open(1, stream());
    let Err(VmError::Trap(trap)) = vm.call(context, HEADERS, Some(std::time::Duration::from_millis(50))) else {
        panic!("it is stopped")
    };
    assert_eq!(trap.kind(), TrapKind::Deadline);
    assert!(!vm.alive());
}

fn a_trap_in_the_allocator_is_the_end(engine: &Engine) {
    let guest = guest(
        r#"(func (export "proxy_on_memory_allocate") (param i32) (result i32) (unreachable))
           (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (drop (call $value (i32.const 0) 'two' (i32.const 0) (i32.const 4))) (i32.const 0))"#,
    );
    let (mut vm, _) = engine.vm(&guest);
    let context = vm.open(1, stream());
    assert!(matches!(vm.call(context, HEADERS, LIMIT), Err(VmError::Trap(_))));
    assert!(!vm.alive());
}

fn unknown_contexts_are_told(engine: &Engine) {
    let (mut vm, _) = engine.vm(&guest(&[TRACE, TRACE_HEADERS].concat()));
    assert_eq!(vm.open(77, stream()), 0);
    assert!(matches!(vm.call(0, HEADERS, LIMIT), Err(VmError::NoContext)));
    assert!(matches!(vm.call(77, HEADERS, LIMIT), Err(VmError::NoContext)));
    assert!(matches!(vm.tick(77, LIMIT), Err(VmError::NoContext)));
    let context = vm.open(1, stream());
    assert!(matches!(vm.tick(context, LIMIT), Err(VmError::NoContext)), "a stream has no tick");
    assert!(vm.alive());
}

fn streams_are_known_until_they_close(engine: &Engine) {
    let (mut vm, server) = engine.vm(&guest(&[TRACE, TRACE_HEADERS].concat()));
    let [one, other] = [stream(), stream()].map(|stream| vm.open(1, stream));
    assert_eq!(vm.streams().len(), 0);
    vm.call(one, HEADERS, LIMIT).unwrap();
    vm.call(other, HEADERS, LIMIT).unwrap();
    assert_eq!(vm.streams().len(), 2);
    vm.detach(one);
    assert_eq!(vm.streams().len(), 1);
    vm.close(other, LIMIT).unwrap();
    assert_eq!(vm.streams().len(), 0);
    server.take();
    vm.close(one, LIMIT).unwrap();
    assert_eq!(
        server.take().join(" "),
        format!("log {one} delete {one}"),
        "a detached context is deleted all the same"
    );
}
