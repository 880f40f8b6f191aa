//! Traces of requests, as an OpenTelemetry collector and an upstream get them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use base16ct::lower;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;

use crate::fleet::process::{Fleet, gateway};

const MESSAGE: &str = "nobody else may read this";

/// A service of HTTP that answers everything with this status and body, and hands over what it was
/// sent: head and body.
fn http(status: &'static str, answer: &'static str) -> (SocketAddr, Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (sender, receiver) = channel();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let sender = sender.clone();
            thread::spawn(move || {
                while let Some(request) = exchange(stream.as_ref().unwrap(), status, answer) {
                    if sender.send(request).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, receiver)
}

/// One request and its answer; none at the end of the connection.
fn exchange(mut stream: &TcpStream, status: &str, answer: &str) -> Option<(String, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let (mut head, mut len) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let start = head.len();
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
        if let Some((name, value)) = head[start..].split_once(": ")
            && name.eq_ignore_ascii_case("content-length")
        {
            len = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; len];
    reader.read_exact(&mut body).unwrap();
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{answer}", answer.len()).ok()?;
    Some((head, body))
}

fn text(attributes: &[KeyValue], key: &str) -> String {
    let value = attributes.iter().find(|attribute| attribute.key == key).and_then(|it| it.value.clone()?.value);
    match value {
        Some(Value::StringValue(text)) => text,
        other => format!("{other:?}"),
    }
}

/// Returns the spans that a collector got, with the service's name.
fn spans(received: &[(String, Vec<u8>)]) -> Vec<(String, Span)> {
    let mut spans = Vec::new();
    for (head, body) in received {
        assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
        for resource in ExportTraceServiceRequest::decode(&body[..]).unwrap().resource_spans {
            let attributes = resource.resource.unwrap().attributes;
            assert_eq!(text(&attributes, "service.version"), env!("CARGO_PKG_VERSION"));
            let name = text(&attributes, "service.name");
            spans.extend(resource.scope_spans.into_iter().flat_map(|it| it.spans).map(|span| (name.clone(), span)));
        }
    }
    spans
}

/// Starts a gateway to this upstream and a proxy before it, which send their traces to the
/// collector, asks so many times, and stops them. Returns what the gateway said.
fn ask(fleet: &Fleet, upstream: SocketAddr, collector: &str, sample: &str, times: usize) -> String {
    let key = fleet.stdout(&["keygen", "--out", "server.key"]);
    let client_key = fleet.stdout(&["keygen", "--out", "client.key"]);
    let traces = ["--otlp-endpoint", collector, "--trace-sample", sample];
    let upstream = format!("http://{upstream}/");
    let access = ["--anonymous", "allow"];
    let mut gateway = fleet.start(&gateway(&upstream, &[&access[..], &traces].concat()), 3);
    let server = gateway.value_of("listening on ");
    let proxy = [
        "proxy",
        "--listen",
        "127.0.0.1:0",
        "--server",
        &server,
        "--server-key",
        key.trim(),
        "--identity",
        "client.key",
    ];
    let mut proxy = fleet.start(&[&proxy[..], &traces].concat(), 1);
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(proxy.value_of("listening on ")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    for _ in 0..times {
        socket.send(MESSAGE.as_bytes()).unwrap();
        let mut reply = [0; 100];
        let len = socket.recv(&mut reply).unwrap();
        assert_eq!(&reply[..len], b"an answer");
    }
    proxy.stop();
    let said = gateway.stop();
    fleet.write("client.pub", client_key.trim());
    said
}

#[test]
fn a_request_can_be_followed_from_the_proxy_to_the_upstream_and_holds_no_secrets() {
    let fleet = Fleet::new();
    let (upstream, asked) = http("200 OK", "an answer");
    let (collector, received) = http("200 OK", "");
    let said = ask(&fleet, upstream, &format!("http://{collector}"), "1", 20);
    assert!(!said.contains("traces"), "{said}");

    let received: Vec<_> = received.try_iter().collect();
    let spans = spans(&received);
    let of = |service: &str, name: &str| {
        let found = spans.iter().filter(|(by, span)| by == service && span.name == name);
        found.map(|(_, span)| span.clone()).collect::<Vec<_>>()
    };
    let (carried, requests, upstreams) =
        (of("pssst-proxy", "request"), of("pssst-gateway", "request"), of("pssst-gateway", "upstream"));
    assert_eq!([spans.len(), carried.len(), requests.len(), upstreams.len()], [60, 20, 20, 20]);
    for span in &carried {
        assert_eq!((span.kind(), text(&span.attributes, "outcome").as_str()), (SpanKind::Client, "carried"));
    }
    for span in &requests {
        assert_eq!((span.kind(), span.parent_span_id.len()), (SpanKind::Server, 0));
        assert!(text(&span.attributes, "peer").starts_with("127.0.0.1:"));
        assert_eq!(text(&span.attributes, "is_authenticated"), "Some(BoolValue(true))");
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano && span.start_time_unix_nano > 0);
    }
    // The upstream got the context of each span that waited for it.
    let mut told: Vec<String> = asked.try_iter().map(|(head, _)| header(&head, "traceparent")).collect();
    let mut waited: Vec<String> = upstreams
        .iter()
        .map(|span| format!("00-{}-{}-01", lower::encode_string(&span.trace_id), lower::encode_string(&span.span_id)))
        .collect();
    told.sort();
    waited.sort();
    assert_eq!(told, waited);
    for span in &upstreams {
        assert_eq!((span.kind(), text(&span.attributes, "outcome").as_str()), (SpanKind::Client, "answered"));
        let parent = requests.iter().find(|request| request.span_id == span.parent_span_id).unwrap();
        assert_eq!(parent.trace_id, span.trace_id);
    }

    // Of the client there is the address, and of the message nothing.
    let key = std::fs::read_to_string(fleet.path("client.pub")).unwrap();
    for (_, body) in &received {
        let sent = String::from_utf8_lossy(body);
        assert!(!sent.contains(MESSAGE) && !sent.contains(&key) && !sent.contains("an answer"));
    }
}

fn header(head: &str, name: &str) -> String {
    let line =
        head.lines().find_map(|line| line.split_once(": ").filter(|(found, _)| found.eq_ignore_ascii_case(name)));
    line.unwrap_or_else(|| panic!("no {name} in {head}")).1.into()
}

#[test]
fn a_part_is_sampled_and_the_upstream_is_told_which() {
    let (upstream, asked) = http("200 OK", "an answer");
    let (collector, received) = http("200 OK", "");
    ask(&Fleet::new(), upstream, &format!("http://{collector}"), "0.25", 200);
    let spans = spans(&received.try_iter().collect::<Vec<_>>());
    let traced = spans.iter().filter(|(_, span)| span.name == "upstream").count();
    assert!((15..=90).contains(&traced), "{traced} of 200");
    let told = asked.try_iter().map(|(head, _)| header(&head, "traceparent"));
    assert_eq!(told.filter(|parent| parent.ends_with("-01")).count(), traced);
}

#[test]
fn a_collector_that_refuses_or_is_away_costs_a_line_and_nothing_else() {
    let (upstream, _asked) = http("200 OK", "an answer");
    let (refusing, _received) = http("400 Bad Request", "");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for collector in [refusing, nobody] {
        let said = ask(&Fleet::new(), upstream, &format!("http://{collector}"), "1", 50);
        assert_eq!(said.matches("traces cannot be sent").count(), 1, "{said}");
        assert!(said.contains("replied 50"), "{said}");
    }
}

#[test]
fn endpoints_and_ratios_that_are_none_are_refused_before_anything_starts() {
    let fleet = Fleet::new();
    for (option, value, expected) in [
        ("--otlp-endpoint", "collector:4318", "must be http or https"),
        ("--otlp-endpoint", "ftp://collector", "must be http or https"),
        ("--otlp-endpoint", "http://", "empty host"),
        ("--trace-sample", "1.1", "a number from 0 to 1"),
        ("--trace-sample", "NaN", "a number from 0 to 1"),
    ] {
        let said = fleet.refusal_of_usage(&["gateway", "--upstream", "udp://127.0.0.1:1", option, value]);
        assert!(said.contains(expected), "{value}: {said}");
    }
}
