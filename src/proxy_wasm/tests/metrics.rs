//! Metrics, as a guest sees them.

use super::guest::on_request_headers;
use super::{Engine, HEADERS, LIMIT, on_every_engine, stream};

on_every_engine! {
    a_counter_a_gauge_and_a_histogram
    statuses
    what_cannot_be_defined_is_told
    an_increment_is_cheap
}

fn a_counter_a_gauge_and_a_histogram(engine: &Engine) {
    let guest = on_request_headers(
        r#"(call $number (call $define_metric (i32.const 0) 'count' (i32.const 64)))
           (call $number (call $increment_metric (i32.load (i32.const 64)) (i64.const 5)))
           (call $number (call $metric (i32.load (i32.const 64)) (i32.const 72)))
           (call $number (i32.load (i32.const 72)))
           (drop (call $define_metric (i32.const 1) 'level' (i32.const 64)))
           (drop (call $record_metric (i32.load (i32.const 64)) (i64.const 9)))
           (drop (call $increment_metric (i32.load (i32.const 64)) (i64.const -2)))
           (drop (call $metric (i32.load (i32.const 64)) (i32.const 72)))
           (call $number (i32.load (i32.const 72)))
           (drop (call $define_metric (i32.const 2) 'time' (i32.const 64)))
           (call $number (call $record_metric (i32.load (i32.const 64)) (i64.const 15)))"#,
    );
    assert_eq!(engine.run(&guest, stream()), ["0", "0", "0", "5", "7", "0"]);
}

fn statuses(engine: &Engine) {
    let guest = on_request_headers(
        r#"(call $number (call $define_metric (i32.const 3) 'a' (i32.const 64)))
           (call $number (call $define_metric (i32.const 0) '' (i32.const 64)))
           (call $number (call $define_metric (i32.const 0) (i32.const -1) (i32.const 2) (i32.const 64)))
           (call $number (call $define_metric (i32.const 0) 'a' (i32.const -2)))
           (call $number (call $increment_metric (i32.const 1) (i64.const 1)))
           (call $number (call $record_metric (i32.const 0) (i64.const 1)))
           (drop (call $define_metric (i32.const 0) 'a' (i32.const 64)))
           (call $number (call $increment_metric (i32.load (i32.const 64)) (i64.const -1)))
           (call $number (call $metric (i32.load (i32.const 64)) (i32.const -7)))
           (drop (call $define_metric (i32.const 2) 'a' (i32.const 64)))
           (call $number (call $increment_metric (i32.load (i32.const 64)) (i64.const 1)))
           (call $number (call $metric (i32.load (i32.const 64)) (i32.const 72)))"#,
    );
    assert_eq!(engine.run(&guest, stream()), ["2", "2", "6", "6", "1", "1", "2", "6", "2", "2"]);
}

fn what_cannot_be_defined_is_told(engine: &Engine) {
    let guest = on_request_headers(
        r#"(call $number (call $define_metric (i32.const 0) 'a name of 21 letters.' (i32.const 64)))"#,
    );
    let why = "its name is longer than \"max_metric_name_length\" allows";
    let line = format!("cannot define metric \"a name of 21 letters.\": {why}");
    assert_eq!(engine.run(&guest, stream()), [line.as_str(), "10"]);
}

/// The cost is printed; the bound is far from it, for machines that do other things meanwhile.
fn an_increment_is_cheap(engine: &Engine) {
    const TIMES: u32 = 200_000;
    let guest = on_request_headers(&format!(
        r#"(local $n i32)
           (drop (call $define_metric (i32.const 0) 'count' (i32.const 64)))
           (local.set $n (i32.const {TIMES}))
           (loop $again
             (drop (call $increment_metric (i32.load (i32.const 64)) (i64.const 1)))
             (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))"#
    ));
    let (mut vm, _server) = engine.vm(&guest);
    let best = (0..20)
        .map(|_| {
            let context = vm.open(1, stream());
            let begun = std::time::Instant::now();
            vm.call(context, HEADERS, LIMIT).unwrap();
            begun.elapsed() / TIMES
        })
        .min();
    println!("an increment of a metric: {best:?}");
    assert!(best.is_some_and(|best| best.as_nanos() < 500), "{best:?}");
}
