//! The page to look at, in a browser: headless Chromium, where it is installed.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use wasmx_t::{Engine, Nginx, Running};

wasmx_t::on_every_engine![it_is_complete_without_scripts, it_brings_all_along, it_comes_alive];

const NAME: &str = "hits <b>&";

fn server(engine: Engine) -> Running {
    let script = format!("configure: define counter {NAME}; request_headers: increment 1 {NAME}");
    Nginx::new(engine)
        .log_level("notice")
        .script("/", &script, "return 200;")
        .location("/status", "proxy_wasm off; wasm_status html;")
        .start()
}

fn it_is_complete_without_scripts(engine: Engine) {
    let ng = server(engine);
    for _ in 0..7 {
        ng.get("/").status(200);
    }
    let page = ng.get("/status");
    let row =
        "<tr><th scope=\"row\">hits &lt;b&gt;&amp;</th><td>script</td><td>counter</td><td class=\"n\">7</td></tr>";
    page.status(200).body_has(row).body_has(&format!("<tr><th scope=\"row\">script</th><td>{engine}</td>"));
    page.body_has("<tr><th scope=\"row\">metrics</th>");
}

fn it_brings_all_along(engine: Engine) {
    let ng = server(engine);
    let (page, other) = (ng.get("/status"), ng.get("/status"));
    let policy = page.value("content-security-policy").unwrap_or_default().to_owned();
    let nonce = policy.split("script-src 'nonce-").nth(1).and_then(|rest| rest.split('\'').next()).unwrap_or_default();
    assert!(nonce.len() == 32 && policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
    assert_ne!(other.value("content-security-policy"), Some(policy.as_str()), "a nonce is used once");
    let text = page.text();
    let tags: Vec<_> = text.split('<').filter_map(|part| part.split('>').next()).collect();
    for tag in tags.iter().filter(|tag| tag.starts_with("script") || tag.starts_with("style")) {
        assert!(tag.contains(&format!("nonce=\"{nonce}\"")), "{tag}");
    }
    let bad = |tag: &&&str| tag.contains(" on") || tag.contains("src=") || tag.contains("style=") || tag.contains("//");
    let elements = tags.iter().filter(|tag| tag.starts_with(|c: char| c.is_ascii_lowercase()) && tag.contains('='));
    assert_eq!(elements.filter(bad).collect::<Vec<_>>(), Vec::<&&str>::new());
}

fn browser() -> Option<PathBuf> {
    let paths = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    std::env::split_paths(&paths).flat_map(|path| names.map(|name| path.join(name))).find(|path| path.exists())
}

/// The page after its scripts have run for that long, and what the browser complained of.
fn rendered(browser: &PathBuf, ng: &Running, milliseconds: u32) -> (String, String) {
    let run = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
        .args(["--enable-logging=stderr", "--v=0", "--dump-dom"])
        .arg(format!("--virtual-time-budget={milliseconds}"))
        .arg(format!("--user-data-dir={}", ng.prefix().join("tmp/chromium").display()))
        .arg(format!("http://{}/status", ng.address()))
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", browser.display()));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&run.stdout), text(&run.stderr))
}

fn it_comes_alive(engine: Engine) {
    let Some(browser) = browser() else {
        eprintln!("SKIPPED it_comes_alive: there is no chromium");
        return;
    };
    let ng = server(engine);
    let address = ng.address();
    let end = Instant::now() + Duration::from_secs(60);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let (page, complaints) = std::thread::scope(|threads| {
        threads.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) && Instant::now() < end {
                wasmx_t::ask(address, "/");
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let seen = rendered(&browser, &ng, 20_000);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        seen
    });
    let polls = page.split("data-polls=\"").nth(1).and_then(|rest| rest.split('"').next()?.parse::<u32>().ok());
    assert!(polls.is_some_and(|polls| polls >= 2), "{polls:?} polls\n{complaints}\n{page}");
    assert!(page.contains("class=\"card\"") && page.contains("calls per second"), "{page}");
    assert!(page.contains("<path class=\"\" d=\"M"), "no line is drawn\n{page}");
    assert!(page.contains("hits &lt;b&gt;&amp;</th>"), "{page}");
    for bad in ["Content Security Policy", "Uncaught"] {
        assert!(!complaints.contains(bad), "{complaints}");
    }
}
