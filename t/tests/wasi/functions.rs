//! Each function, called as it is.

use wasmx_t::{Engine, Nginx, filter};

wasmx_t::on_every_engine![
    every_function_is_there_under_both_names,
    clocks,
    randomness,
    nothing_is_preopened,
    files_are_not_there,
    what_is_not_there_says_so,
    standard_descriptors,
    waiting_for_nothing_returns_at_once,
    a_line_written_in_parts_is_one_line,
];

/// The functions of preview 1 and their types.
const FUNCTIONS: [(&str, &str); 46] = [
    ("args_get", "i32 i32"),
    ("args_sizes_get", "i32 i32"),
    ("environ_get", "i32 i32"),
    ("environ_sizes_get", "i32 i32"),
    ("clock_res_get", "i32 i32"),
    ("clock_time_get", "i32 i64 i32"),
    ("fd_advise", "i32 i64 i64 i32"),
    ("fd_allocate", "i32 i64 i64"),
    ("fd_close", "i32"),
    ("fd_datasync", "i32"),
    ("fd_fdstat_get", "i32 i32"),
    ("fd_fdstat_set_flags", "i32 i32"),
    ("fd_fdstat_set_rights", "i32 i64 i64"),
    ("fd_filestat_get", "i32 i32"),
    ("fd_filestat_set_size", "i32 i64"),
    ("fd_filestat_set_times", "i32 i64 i64 i32"),
    ("fd_pread", "i32 i32 i32 i64 i32"),
    ("fd_prestat_get", "i32 i32"),
    ("fd_prestat_dir_name", "i32 i32 i32"),
    ("fd_pwrite", "i32 i32 i32 i64 i32"),
    ("fd_read", "i32 i32 i32 i32"),
    ("fd_readdir", "i32 i32 i32 i64 i32"),
    ("fd_renumber", "i32 i32"),
    ("fd_seek", "i32 i64 i32 i32"),
    ("fd_sync", "i32"),
    ("fd_tell", "i32 i32"),
    ("fd_write", "i32 i32 i32 i32"),
    ("path_create_directory", "i32 i32 i32"),
    ("path_filestat_get", "i32 i32 i32 i32 i32"),
    ("path_filestat_set_times", "i32 i32 i32 i32 i64 i64 i32"),
    ("path_link", "i32 i32 i32 i32 i32 i32 i32"),
    ("path_open", "i32 i32 i32 i32 i32 i64 i64 i32 i32"),
    ("path_readlink", "i32 i32 i32 i32 i32 i32"),
    ("path_remove_directory", "i32 i32 i32"),
    ("path_rename", "i32 i32 i32 i32 i32 i32"),
    ("path_symlink", "i32 i32 i32 i32 i32"),
    ("path_unlink_file", "i32 i32 i32"),
    ("poll_oneoff", "i32 i32 i32 i32"),
    ("proc_exit", "i32"),
    ("proc_raise", "i32"),
    ("random_get", "i32 i32"),
    ("sched_yield", ""),
    ("sock_accept", "i32 i32 i32"),
    ("sock_recv", "i32 i32 i32 i32 i32 i32"),
    ("sock_send", "i32 i32 i32 i32 i32"),
    ("sock_shutdown", "i32 i32"),
];

fn import(module: &str, name: &str) -> String {
    let parameters = FUNCTIONS.iter().find(|(function, _)| *function == name).map_or("", |(_, parameters)| parameters);
    let result = if name == "proc_exit" { "" } else { "(result i32)" };
    format!("(import \"{module}\" \"{name}\" (func $w_{name} (param {parameters}) {result}))\n")
}

fn every_function_is_there_under_both_names(engine: Engine) {
    for module in ["wasi_snapshot_preview1", "wasi_unstable"] {
        let imports: String = FUNCTIONS.iter().map(|(name, _)| import(module, name)).collect();
        let nginx = Nginx::new(engine).wat("a", filter(&imports)).location("/", "proxy_wasm a; return 200;");
        nginx.conf_test().accepts();
    }
}

/// What a call answers: the filter calls it for each request and replies with 200 and the number.
fn answers(engine: Engine, function: &str, call: &str) -> u16 {
    status_of(engine, function, call, "")
}

fn status_of(engine: Engine, function: &str, call: &str, data: &str) -> u16 {
    let text = filter(&format!(
        r#"{}(import "env" "proxy_send_local_response"
    (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  {data}
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (drop (call $reply (i32.add (i32.const 200) {call}) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
      (i32.const 0) (i32.const 0) (i32.const -1)))
    (i32.const 0))"#,
        import("wasi_snapshot_preview1", function)
    ));
    let ng = Nginx::new(engine).wat("a", text).location("/", "proxy_wasm a; return 500;").start();
    ng.get("/").code().unwrap_or_default() - 200
}

fn clocks(engine: Engine) {
    let time = |clock: u32| {
        answers(
            engine,
            "clock_time_get",
            &format!("(call $w_clock_time_get (i32.const {clock}) (i64.const 1) (i32.const 64))"),
        )
    };
    let resolution = |clock: u32| {
        answers(engine, "clock_res_get", &format!("(call $w_clock_res_get (i32.const {clock}) (i32.const 64))"))
    };
    // Real time and monotonic; those of the process and the thread are not supported.
    for (clock, status) in [(0, 0), (1, 0), (2, 58), (3, 58), (77, 58)] {
        assert_eq!((time(clock), resolution(clock)), (status, status), "clock {clock}");
    }
}

fn randomness(engine: Engine) {
    let random =
        |size: u32| answers(engine, "random_get", &format!("(call $w_random_get (i32.const 64) (i32.const {size}))"));
    assert_eq!(random(16), 0);
    assert_eq!(random(0), 0);
    assert_eq!(random(65536), 0);
    assert_eq!(random(65537), 28);
}

fn nothing_is_preopened(engine: Engine) {
    let call = "(call $w_fd_prestat_get (i32.const 3) (i32.const 64))";
    assert_eq!(answers(engine, "fd_prestat_get", call), 8);
}

fn files_are_not_there(engine: Engine) {
    let open = "(call $w_path_open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i64.const 0)
        (i64.const 0) (i32.const 0) (i32.const 64))";
    assert_ne!(answers(engine, "path_open", open), 0);
    let read = "(call $w_fd_read (i32.const 9) (i32.const 0) (i32.const 0) (i32.const 64))";
    assert_ne!(answers(engine, "fd_read", read), 0);
    let write = "(call $w_fd_write (i32.const 9) (i32.const 0) (i32.const 0) (i32.const 64))";
    assert_eq!(answers(engine, "fd_write", write), 8);
}

/// All that is there only so that filters link: EBADF for descriptors, ENOSYS for what takes none of ours.
fn what_is_not_there_says_so(engine: Engine) {
    const THERE: [&str; 5] = ["fd_write", "fd_fdstat_get", "proc_exit", "fd_prestat_get", "fd_prestat_dir_name"];
    let (mut imports, mut calls, mut expected) = (String::new(), String::new(), Vec::new());
    for (name, types) in FUNCTIONS {
        let family = ["fd_", "path_", "sock_", "proc_"].into_iter().find(|family| name.starts_with(family));
        let Some(family) = family.filter(|_| !THERE.contains(&name)) else { continue };
        let arguments: String = types.split(' ').map(|ty| format!(" ({ty}.const 3)")).collect();
        imports += &import("wasi_snapshot_preview1", name);
        calls += &format!("(call $status (call $w_{name}{arguments}))\n");
        expected.push(if family == "fd_" { "] 08" } else { "] 52" });
    }
    assert_eq!(expected.len(), 32);
    let text = filter(&format!(
        r#"{imports}
  (func $status (param i32)
    (i32.store8 (i32.const 32) (i32.add (i32.const 48) (i32.div_u (local.get 0) (i32.const 10))))
    (i32.store8 (i32.const 33) (i32.add (i32.const 48) (i32.rem_u (local.get 0) (i32.const 10))))
    (drop (call $log (i32.const 2) (i32.const 32) (i32.const 2))))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) {calls} (i32.const 0))"#
    ));
    let ng = Nginx::new(engine).wat("a", text).location("/", "proxy_wasm a; return 200 fine;").start();
    ng.get("/").status(200).body("fine");
    let answers = ng.log().lines_with("[proxy-wasm][\"a\" #1] ");
    let answers: Vec<_> = answers.iter().filter_map(|line| line.split("\"a\" #1").nth(1)?.get(..4)).collect();
    assert_eq!(answers, expected);
}

fn standard_descriptors(engine: Engine) {
    for descriptor in 0..3 {
        let call = format!("(call $w_fd_fdstat_get (i32.const {descriptor}) (i32.const 64))");
        assert_eq!(answers(engine, "fd_fdstat_get", &call), 0, "descriptor {descriptor}");
    }
    assert_eq!(answers(engine, "fd_fdstat_get", "(call $w_fd_fdstat_get (i32.const 3) (i32.const 64))"), 8);
}

fn waiting_for_nothing_returns_at_once(engine: Engine) {
    let poll = "(call $w_poll_oneoff (i32.const 64) (i32.const 128) (i32.const 0) (i32.const 192))";
    assert_eq!(answers(engine, "poll_oneoff", poll), 0);
    assert_eq!(answers(engine, "sched_yield", "(call $w_sched_yield)"), 0);
}

fn a_line_written_in_parts_is_one_line(engine: Engine) {
    // Two parts of one line, and a second line without an end.
    let data = r#"(data (i32.const 256) "one ") (data (i32.const 272) "line\nmore\n")
  (data (i32.const 512) "\00\01\00\00\04\00\00\00\10\01\00\00\0a\00\00\00")"#;
    let call = "(call $w_fd_write (i32.const 1) (i32.const 512) (i32.const 2) (i32.const 64))";
    let text = filter(&format!(
        r#"{}{data}
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (drop {call}) (i32.const 0))"#,
        import("wasi_snapshot_preview1", "fd_write")
    ));
    let ng = Nginx::new(engine).wat("a", text).location("/", "proxy_wasm a; return 200;").start();
    ng.get("/").status(200);
    ng.log().has_times(1, "] one line").has_times(1, "] more");
}
