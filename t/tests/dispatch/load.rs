//! A thousand requests at a time that make two calls each.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::TcpStream;
use wasmx_t::{Engine, Nginx, Running, eventually, many_descriptors, patience};

use crate::service::Service;

wasmx_t::on_every_engine![every_answer_is_right, memory_stays_flat, the_peer_is_killed_and_comes_back, nginx_reloads,];

const REQUESTS: usize = 1000;
const KEPT: usize = 32;

/// nginx whose second listener has room for all clients, with a filter that makes two calls at the same time, and adds both answers to the response's header.
fn start(engine: Engine, service: &Service) -> Running {
    let call = |number: u32| {
        format!(
            "quietly get request x-id; quietly call {} 10000 :method=GET :path=/{{it}}/{number} :authority=a",
            service.name()
        )
    };
    let script = format!(
        "request_headers: {}; {}; pause
         call_response: answered quietly body call 0 99; answered quietly add response x-answer {{it}}
                        failed quietly add response x-answer failed",
        call(1),
        call(2)
    );
    many_descriptors();
    Nginx::new(engine)
        .log_level("notice")
        .connections(4 * REQUESTS)
        .listener("backlog=4096")
        .http(format!("proxy_wasm_dispatch_keepalive {KEPT};"))
        // What is large goes back to the system when it is freed.
        .env("MALLOC_MMAP_THRESHOLD_", "65536")
        .env("MALLOC_TRIM_THRESHOLD_", "65536")
        .script("/", &script, "return 200 done;")
        .start()
}

/// What a request brought: its number, and its answers.
struct Outcome {
    id: String,
    answers: BTreeSet<String>,
}

impl Outcome {
    /// Both calls were answered, each with its own path.
    fn is_whole(&self) -> bool {
        self.answers == BTreeSet::from([format!("/{}/1", self.id), format!("/{}/2", self.id)])
    }
}

/// That many requests at the same time. Each gets a response.
fn wave(to: SocketAddr, name: &str, count: usize) -> Vec<Outcome> {
    let ids: Vec<_> = (0..count).map(|number| format!("{name}-{number}")).collect();
    let all = async {
        let executor = smol::LocalExecutor::new();
        let tasks: Vec<_> = ids.iter().map(|id| executor.spawn(ask(to, id))).collect();
        executor
            .run(async {
                let mut outcomes = Vec::new();
                for task in tasks {
                    outcomes.push(task.await);
                }
                outcomes
            })
            .await
    };
    let late = async {
        smol::Timer::after(patience()).await;
        panic!("{count} requests were not answered in {:?}", patience())
    };
    smol::block_on(smol::future::or(all, late))
}

async fn ask(to: SocketAddr, id: &str) -> Outcome {
    let mut stream = TcpStream::connect(to).await.unwrap_or_else(|error| panic!("connect for {id}: {error}"));
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nx-id: {id}\r\nConnection: close\r\n\r\n");
    let mut response = Vec::new();
    let done = async {
        stream.write_all(request.as_bytes()).await?;
        stream.read_to_end(&mut response).await
    };
    done.await.unwrap_or_else(|error| panic!("no response for {id}: {error}"));
    let text = String::from_utf8_lossy(&response);
    assert!(text.starts_with("HTTP/1.1 200 ") && text.ends_with("\r\n\r\ndone"), "{id}: {text}");
    let answers = text.lines().filter_map(|line| line.strip_prefix("x-answer: ")).map(str::to_owned).collect();
    Outcome { id: id.to_owned(), answers }
}

fn every_answer_is_right(engine: Engine) {
    let service = Service::new();
    let ng = start(engine, &service);
    for name in ["first", "second"] {
        for outcome in wave(ng.address_of(1), name, REQUESTS) {
            assert!(outcome.is_whole(), "{}: {:?}", outcome.id, outcome.answers);
        }
        eventually("no more connections than are kept", || (service.open() <= KEPT).then_some(()));
    }
    assert!(service.accepted() <= 4 * REQUESTS, "{}", service.accepted());
    // Those that were kept are enough for a few at a time.
    let before = service.accepted();
    for number in 0..20 {
        assert!(wave(ng.address_of(1), &format!("few{number}"), 4).iter().all(Outcome::is_whole));
    }
    assert_eq!(service.accepted(), before);
    ng.log().lacks("[error]");
}

/// How much more a worker may have, in KiB, after twice as many requests. What the allocator keeps goes up and down with how
/// many requests there are at a time, and that with the machine; a kilobyte lost for each call would be 8 MiB.
const MARGIN: u64 = 7 << 10;

fn memory_stays_flat(engine: Engine) {
    let service = Service::new();
    let ng = start(engine, &service);
    let rounds = |first: u32| {
        (first..first + 4)
            .map(|round| {
                wave(ng.address_of(1), &format!("round{round}"), REQUESTS);
                ng.resident_kib()
            })
            .collect::<Vec<_>>()
    };
    let (early, late) = (rounds(0), rounds(4));
    assert!(
        late.iter().min() < early.iter().max().map(|kib| kib + MARGIN).as_ref(),
        "{early:?} KiB, then {late:?} KiB"
    );
}

/// Whatever the service answered has come, and nothing else has.
fn nothing_is_lost(service: &Service, outcomes: &[Outcome]) {
    let answered = service.answered();
    for Outcome { id, answers } in outcomes {
        for number in 1..=2 {
            let path = format!("/{id}/{number}");
            assert!(
                answers.contains(&path) || !answered.contains(&path),
                "{path} was answered and is lost: {answers:?}"
            );
        }
        let known =
            |answer: &String| answer == "failed" || *answer == format!("/{id}/1") || *answer == format!("/{id}/2");
        assert!(!answers.is_empty() && answers.iter().all(known), "{id}: {answers:?}");
    }
}

/// Waves of requests, until something else that happens meanwhile is over.
fn meanwhile(to: SocketAddr, happens: impl FnOnce()) -> Vec<Outcome> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let over = &over;
        let waves = scope.spawn(move || {
            let mut outcomes = Vec::new();
            for number in 0.. {
                outcomes.extend(wave(to, &format!("wave{number}"), REQUESTS));
                if over.load(Ordering::SeqCst) {
                    break;
                }
            }
            outcomes
        });
        happens();
        over.store(true, Ordering::SeqCst);
        waves.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn the_peer_is_killed_and_comes_back(engine: Engine) {
    let mut service = Service::new();
    let ng = start(engine, &service);
    let outcomes = meanwhile(ng.address_of(1), || {
        for round in 1..4 {
            let answered = service.answered().len();
            eventually("some answers", || (service.answered().len() > answered + 100 * round).then_some(()));
            service.kill();
            service.start();
        }
    });
    nothing_is_lost(&service, &outcomes);
    let after = wave(ng.address_of(1), "after", REQUESTS);
    assert!(after.iter().all(Outcome::is_whole), "all is well again");
}

fn nginx_reloads(engine: Engine) {
    let service = Service::new();
    let ng = start(engine, &service);
    let outcomes = meanwhile(ng.address_of(1), || {
        for _ in 0..2 {
            let answered = service.answered().len();
            eventually("some answers", || (service.answered().len() > answered + 100).then_some(()));
            ng.reload();
        }
    });
    assert!(outcomes.iter().all(Outcome::is_whole));
    ng.log().lacks("[error]");
}
