//! Edits of headers.

use proptest::collection::vec;
use proptest::prelude::*;
use wasmx_t::{Engine, Nginx, Reply, Upstream};

use crate::{check, encoded, gives};

wasmx_t::on_every_engine![edits_of_request_headers, edits_of_response_headers];

#[derive(Clone, Debug)]
enum Edit {
    Get(String),
    Pairs,
    Add(String, String),
    Replace(String, String),
    Remove(String),
    Set(Vec<(String, String)>),
}

/// A header map, names in lower case, in order.
#[derive(Clone, Debug)]
struct Model {
    /// `request` or `response`.
    map: &'static str,
    pseudo: Vec<(String, String)>,
    pairs: Vec<(String, String)>,
    /// Of these there is one at most.
    single: &'static [&'static str],
    /// These stay when all are set anew.
    staying: &'static [&'static str],
    /// These come first, in this order, whenever they were set.
    first: &'static [&'static str],
}

impl Model {
    /// Makes an edit, and gives the statement and what the script logs for it.
    fn apply(&mut self, edit: &Edit) -> (String, String) {
        let map = self.map;
        match edit {
            Edit::Get(name) => {
                let statement = format!("get {map} {name}");
                let shown = match self.value(name) {
                    Some(value) => gives(&statement, value),
                    None => format!("{statement} -> 1"),
                };
                (statement, shown)
            }
            Edit::Pairs => (format!("pairs {map}"), gives(&format!("pairs {map}"), &self.shown())),
            Edit::Add(name, value) => {
                self.add(name, value);
                done(format!("add {map} {name} {}", encoded(value)))
            }
            Edit::Replace(name, value) => {
                self.replace(name, value);
                done(format!("replace {map} {name} {}", encoded(value)))
            }
            Edit::Remove(name) => {
                self.pairs.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
                done(format!("remove {map} {name}"))
            }
            Edit::Set(pairs) => {
                self.pairs.retain(|(name, _)| self.staying.contains(&name.as_str()));
                pairs.iter().for_each(|(name, value)| self.add(name, value));
                let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
                done(format!("set {map} {}", pairs.join(" ")))
            }
        }
    }

    fn value(&self, name: &str) -> Option<&str> {
        let mut all = self.pseudo.iter().chain(&self.pairs);
        all.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    fn add(&mut self, name: &str, value: &str) {
        if name.starts_with(':') || self.single.contains(&name) {
            self.replace(name, value);
        } else {
            self.pairs.push((name.to_lowercase(), value.to_owned()));
        }
    }

    fn replace(&mut self, name: &str, value: &str) {
        if name == ":authority" {
            self.replace("host", value);
        }
        let name = name.to_lowercase();
        let pairs = if name.starts_with(':') { &mut self.pseudo } else { &mut self.pairs };
        match pairs.iter().position(|(known, _)| *known == name) {
            Some(at) => {
                pairs[at].1 = value.to_owned();
                let mut index = 0;
                pairs.retain(|(known, _)| {
                    index += 1;
                    index - 1 <= at || *known != name
                });
            }
            None => pairs.push((name, value.to_owned())),
        }
    }

    fn ordered(&self) -> Vec<&(String, String)> {
        let rank = |name: &str| self.first.iter().position(|first| *first == name).unwrap_or(self.first.len());
        let mut pairs: Vec<_> = self.pairs.iter().collect();
        pairs.sort_by_key(|(name, _)| rank(name));
        pairs
    }

    /// As the script shows pairs.
    fn shown(&self) -> String {
        let pairs = self.pseudo.iter().chain(self.ordered());
        pairs.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ")
    }

    /// The pairs as the other side gets them, but for those that belong to a connection.
    fn sent(&self) -> Vec<(String, String)> {
        self.ordered().into_iter().filter(|(name, _)| !is_of_connection(name)).cloned().collect()
    }
}

fn is_of_connection(name: &str) -> bool {
    ["host", "connection", "content-length", "server", "date"].contains(&name)
}

fn received(headers: &[(String, String)]) -> Vec<(String, String)> {
    let lower = headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone()));
    lower.filter(|(name, _)| !is_of_connection(name)).collect()
}

fn done(statement: String) -> (String, String) {
    let statement = statement.trim_end().to_owned();
    let shown = statement.get(..200).unwrap_or(&statement);
    let shown = format!("{shown} -> 0");
    (statement, shown)
}

fn any_value() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[a-z0-9]{1,6}", 1 => "[!-~é]([ -~]{0,5}[!-~])?", 1 => Just(String::new())]
}

fn any_edit(
    named: BoxedStrategy<(String, String)>,
    pseudo: BoxedStrategy<(String, String)>,
) -> impl Strategy<Value = Edit> {
    let name = prop_oneof![5 => named.clone(), 1 => pseudo.clone()].prop_map(|(name, _)| name);
    let removed = named.clone().prop_map(|(name, _)| name);
    let set = (vec(named.clone(), 0..4), proptest::option::of(pseudo.clone()));
    let pair = prop_oneof![6 => named, 1 => pseudo];
    prop_oneof![
        2 => name.prop_map(Edit::Get),
        1 => Just(Edit::Pairs),
        3 => pair.clone().prop_map(|(name, value)| Edit::Add(name, value)),
        3 => pair.prop_map(|(name, value)| Edit::Replace(name, value)),
        2 => removed.prop_map(Edit::Remove),
        1 => set.prop_map(|(mut pairs, pseudo)| {
            pairs.extend(pseudo);
            Edit::Set(pairs)
        }),
    ]
}

fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn named(
    names: &'static [&'static str],
    typed: impl Strategy<Value = (String, String)> + 'static,
) -> BoxedStrategy<(String, String)> {
    let free = (prop::sample::select(names), any_value()).prop_map(|(name, value)| (name.to_owned(), value));
    prop_oneof![8 => free, 1 => typed].boxed()
}

fn media_type() -> impl Strategy<Value = (String, String)> {
    "[a-z]{1,4}/[a-z]{1,4}".prop_map(|value| ("content-type".to_owned(), value))
}

fn edits_of_request_headers(engine: Engine) {
    let up = Upstream::new();
    let lines = ("proxy_set_header Host $http_host;", up.pass());
    let ng = Nginx::new(engine).script("/", "request_headers: run x-edits; pairs request", lines).start();
    let names = &["x-a", "X-A", "x-b", "X-Cee", "cookie", "Accept", "user-agent", "x-forwarded-for", "range"][..];
    let pseudo = prop_oneof![
        "/[a-z]{0,4}(/[a-z]{1,3})?(\\?[a-z=&]{0,6})?".prop_map(|path| (":path".to_owned(), path)),
        "(GET|POST|PUT|DELETE|PATCH|QUERY)".prop_map(|method| (":method".to_owned(), method)),
        "[a-z]{1,5}(\\.[a-z]{2})?(:[1-9][0-9]{0,3})?".prop_map(|host| (":authority".to_owned(), host)),
    ];
    let edits = vec(any_edit(named(names, media_type()), pseudo.boxed()), 0..10);
    let sent = [("x-a", "1"), ("X-A", "2"), ("Cookie", "a=b"), ("accept", "*/*"), ("x-b", "")];
    check(&edits, |edits| {
        let mut model = Model {
            map: "request",
            pseudo: pairs(&[(":method", "GET"), (":path", "/p?q"), (":authority", "localhost"), (":scheme", "http")]),
            pairs: pairs(&[("host", "localhost"), ("connection", "close"), ("x-edits", "")]),
            single: &["content-type"],
            staying: &["host"],
            first: &[],
        };
        model.pairs.extend(sent.map(|(name, value)| (name.to_lowercase(), value.to_owned())));
        let mut request = ng.request("GET", "/p?q");
        let mut copy = model.clone();
        let statements = edits.iter().map(|edit| copy.apply(edit).0).collect::<Vec<_>>().join(";");
        model.pairs[2].1.clone_from(&statements);
        request = request.header("x-edits", &statements);
        for (name, value) in sent {
            request = request.header(name, value);
        }
        let log = ng.log().from_here();
        request.send().status(200);
        let mut lines: Vec<String> = edits.iter().map(|edit| model.apply(edit).1).collect();
        lines.push(gives("pairs request", &model.shown()));
        log.in_order(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        up.saw(|seen| {
            assert_eq!(received(seen.all_headers()), model.sent());
            let pseudo = |name| model.value(name).unwrap_or_default();
            assert_eq!((seen.method(), seen.target()), (pseudo(":method"), pseudo(":path")));
            seen.header("host", pseudo(":authority"));
        });
        Ok(())
    });
}

fn edits_of_response_headers(engine: Engine) {
    let up = Upstream::new().respond(|_| {
        let reply = Reply::ok("a body").header("Content-Type", "text/plain").header("x-a", "1").header("X-A", "2");
        reply.header("set-cookie", "a").header("ETag", "\"e\"").header("cache-control", "no-cache")
    });
    let ng = Nginx::new(engine).script("/", "response_headers: run x-edits; pairs response", up.pass()).start();
    let names =
        &["x-a", "X-A", "x-b", "X-Cee", "set-cookie", "Cache-Control", "vary", "link", "www-authenticate", "etag"][..];
    let pseudo = "(20[0-36]|40[0-9]|50[0-3])".prop_map(|status| (":status".to_owned(), status));
    let edits = vec(any_edit(named(names, media_type()), pseudo.boxed()), 0..10);
    check(&edits, |edits| {
        let mut model = Model {
            map: "response",
            pseudo: pairs(&[(":status", "200")]),
            pairs: pairs(&[
                ("content-type", "text/plain"),
                ("content-length", "6"),
                ("x-a", "1"),
                ("x-a", "2"),
                ("set-cookie", "a"),
                ("etag", "\"e\""),
                ("cache-control", "no-cache"),
            ]),
            single: &["content-type", "etag"],
            staying: &["content-length"],
            first: &["content-type", "content-length"],
        };
        let (statements, mut lines): (Vec<_>, Vec<_>) = edits.iter().map(|edit| model.apply(edit)).unzip();
        lines.push(gives("pairs response", &model.shown()));
        let log = ng.log().from_here();
        let response = ng.request("GET", "/").header("x-edits", &statements.join(";")).send();
        response.body("a body");
        log.in_order(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(response.code().map(|code| code.to_string()).as_deref(), model.value(":status"));
        assert_eq!(received(response.all_headers()), model.sent());
        Ok(())
    });
}
