//! Every rule of retransmission as rows: what happens, and what is done.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn path(number: u64, host: u8) -> PathView {
    PathView { number, address: address(host) }
}

fn address(host: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, host], 1))
}

fn start() -> Event {
    Event::Start { path: path(1, 1), is_suspect: false }
}

fn timed_out(replies: u64, has_one_address: bool) -> Event {
    Event::TimedOut { replies, has_one_address }
}

const SENT: Event = Event::Sent { replies: 0 };
const REFUSED: Event = Event::SendFailed { is_too_long: false };
const REPORTED: Event = Event::NetworkError { is_too_long: false };
const TOO_LONG_TO_SEND: Event = Event::SendFailed { is_too_long: true };
const TOO_LONG: Event = Event::NetworkError { is_too_long: true };
const DEAF: Action = Action::Wait { timer: Timer::Keep, hears_network: false };
const SEND: Action = Action::Send { resolves: false };
const SEND_AND_RESOLVE: Action = Action::Send { resolves: true };

fn wait(timer: Timer) -> Action {
    Action::Wait { timer, hears_network: true }
}

fn open_new(newest: u64, host: u8, keeps_address: bool, resolves: bool) -> Action {
    Action::OpenNew { newest, from: address(host), keeps_address, resolves }
}

fn fail_over(host: u8, tried: &[u8]) -> Action {
    Action::FailOver { from: address(host), tried: tried.iter().map(|host| address(*host)).collect() }
}

/// Runs rows of events and the actions that must follow, with pauses of one, two, four seconds.
#[track_caller]
fn check(rule: &str, rows: Vec<(Event, Action)>) {
    let pauses = [SECOND, 2 * SECOND, 4 * SECOND].into_iter();
    let mut transaction = Transaction::new(pauses, path(1, 1));
    for (row, (event, expected)) in rows.into_iter().enumerate() {
        assert_eq!(transaction.next(event), expected, "{rule}, row {row}: {event:?}");
    }
}

#[test]
fn a_request_is_sent_and_waits() {
    check("no trouble", vec![(start(), SEND), (SENT, wait(Timer::Start(SECOND)))]);
}

#[test]
fn a_suspect_path_is_left_before_anything_is_sent() {
    let suspect = Event::Start { path: path(1, 1), is_suspect: true };
    check(
        "a fresh path",
        vec![
            (suspect, open_new(1, 1, false, false)),
            (Event::Opened(path(2, 2)), SEND),
            (SENT, wait(Timer::Start(SECOND))),
        ],
    );
    check("none can be opened", vec![(suspect, open_new(1, 1, false, false)), (Event::NotOpened, SEND)]);
}

#[test]
fn the_first_retransmission_stays_if_the_path_is_known_to_work_or_is_the_only_one() {
    for (rule, event, action) in [
        ("an only address", timed_out(0, true), SEND_AND_RESOLVE),
        ("a path that has worked", timed_out(3, false), SEND),
        ("neither", timed_out(0, false), open_new(1, 1, false, true)),
    ] {
        check(rule, vec![(start(), SEND), (SENT, wait(Timer::Start(SECOND))), (event, action)]);
    }
}

#[test]
fn later_retransmissions_leave_from_a_fresh_port() {
    check(
        "to the next address, when nothing is heard",
        vec![
            (start(), SEND),
            (SENT, wait(Timer::Start(SECOND))),
            (timed_out(0, true), SEND_AND_RESOLVE),
            (SENT, wait(Timer::Start(2 * SECOND))),
            (timed_out(0, true), open_new(1, 1, false, true)),
            (Event::Opened(path(2, 2)), SEND),
            (SENT, wait(Timer::Start(4 * SECOND))),
            (timed_out(0, true), open_new(2, 2, false, true)),
        ],
    );
    check(
        "to the same address, when it answers others",
        vec![
            (start(), SEND),
            (Event::Sent { replies: 5 }, wait(Timer::Start(SECOND))),
            (timed_out(6, false), SEND),
            (Event::Sent { replies: 6 }, wait(Timer::Start(2 * SECOND))),
            (timed_out(7, false), open_new(1, 1, true, false)),
        ],
    );
    check(
        "along the old path, when no other can be opened",
        vec![
            (start(), SEND),
            (SENT, wait(Timer::Start(SECOND))),
            (timed_out(0, false), open_new(1, 1, false, true)),
            (Event::NotOpened, SEND),
            (SENT, wait(Timer::Start(2 * SECOND))),
        ],
    );
}

#[test]
fn after_the_last_retransmission_it_only_waits() {
    let mut rows = vec![(start(), SEND), (SENT, wait(Timer::Start(SECOND)))];
    rows.push((timed_out(0, true), SEND_AND_RESOLVE));
    for (number, pause) in [(2, Timer::Start(2 * SECOND)), (3, Timer::Start(4 * SECOND))] {
        rows.push((SENT, wait(pause)));
        rows.push((timed_out(0, true), open_new(number - 1, 1, false, true)));
        rows.push((Event::Opened(path(number, 1)), SEND));
    }
    rows.push((SENT, wait(Timer::Stop)));
    // A reply or an error of the network may still arrive.
    rows.push((REPORTED, fail_over(1, &[1])));
    rows.push((Event::NotOpened, DEAF));
    check("three pauses, three retransmissions", rows);
}

#[test]
fn what_the_system_refuses_to_send_goes_to_other_addresses() {
    check(
        "one after another",
        vec![
            (start(), SEND),
            (REFUSED, fail_over(1, &[1])),
            (Event::Opened(path(2, 2)), SEND),
            (REFUSED, fail_over(2, &[1, 2])),
            (Event::Opened(path(3, 3)), SEND),
            (SENT, wait(Timer::Start(SECOND))),
        ],
    );
    check(
        "none is left: the timer tries again, with all of them",
        vec![
            (start(), SEND),
            (REFUSED, fail_over(1, &[1])),
            (Event::NotOpened, wait(Timer::Start(SECOND))),
            (timed_out(0, true), SEND_AND_RESOLVE),
            (REFUSED, fail_over(1, &[1])),
        ],
    );
}

#[test]
fn errors_of_the_network_fail_over_and_leave_the_timer_alone() {
    check(
        "until all addresses were tried",
        vec![
            (start(), SEND),
            (SENT, wait(Timer::Start(SECOND))),
            (REPORTED, fail_over(1, &[1])),
            (Event::Opened(path(2, 2)), SEND),
            (SENT, wait(Timer::Keep)),
            (REPORTED, fail_over(2, &[1, 2])),
            (Event::NotOpened, DEAF),
            (timed_out(0, false), open_new(2, 2, false, true)),
            (Event::Opened(path(3, 1)), SEND),
            (SENT, wait(Timer::Start(2 * SECOND))),
            // They are tried again after a retransmission.
            (REPORTED, fail_over(1, &[1])),
        ],
    );
    check(
        "with an address that cannot be sent to among them",
        vec![
            (start(), SEND),
            (SENT, wait(Timer::Start(SECOND))),
            (REPORTED, fail_over(1, &[1])),
            (Event::Opened(path(2, 2)), SEND),
            (REFUSED, fail_over(2, &[2])),
            (Event::Opened(path(3, 3)), SEND),
            (SENT, wait(Timer::Keep)),
        ],
    );
}

#[test]
fn packets_that_no_interface_takes_end_the_request_at_once() {
    check(
        "after all addresses",
        vec![
            (start(), SEND),
            (TOO_LONG_TO_SEND, fail_over(1, &[1])),
            (Event::Opened(path(2, 2)), SEND),
            (TOO_LONG_TO_SEND, fail_over(2, &[1, 2])),
            (Event::NotOpened, Action::GiveUp),
        ],
    );
    check(
        "unless one refused them for another cause",
        vec![
            (start(), SEND),
            (REFUSED, fail_over(1, &[1])),
            (Event::Opened(path(2, 2)), SEND),
            (TOO_LONG_TO_SEND, fail_over(2, &[1, 2])),
            (Event::NotOpened, wait(Timer::Start(SECOND))),
        ],
    );
    check(
        "unless a packet is on its way",
        vec![
            (start(), SEND),
            (SENT, wait(Timer::Start(SECOND))),
            (REPORTED, fail_over(1, &[1])),
            (Event::Opened(path(2, 2)), SEND),
            (TOO_LONG_TO_SEND, fail_over(2, &[2])),
            (Event::NotOpened, wait(Timer::Keep)),
        ],
    );
}

#[test]
fn one_report_of_a_narrow_path_ends_nothing_and_two_in_a_row_do() {
    let first = [
        (start(), SEND),
        (SENT, wait(Timer::Start(SECOND))),
        (TOO_LONG, fail_over(1, &[1])),
        (Event::NotOpened, DEAF),
        (timed_out(0, true), SEND_AND_RESOLVE),
        (SENT, wait(Timer::Start(2 * SECOND))),
    ];
    let second = |more: Vec<(Event, Action)>| [first.to_vec(), more].concat();
    check("a lone address", second(vec![(TOO_LONG, fail_over(1, &[1])), (Event::NotOpened, Action::GiveUp)]));
    check("none for the second packet", second(vec![(timed_out(0, true), open_new(1, 1, false, true))]));
    check(
        "another error between them",
        second(vec![
            (REPORTED, fail_over(1, &[1])),
            (Event::NotOpened, DEAF),
            (timed_out(0, true), open_new(1, 1, false, true)),
            (Event::Opened(path(2, 1)), SEND),
            (SENT, wait(Timer::Start(4 * SECOND))),
            (TOO_LONG, fail_over(1, &[1])),
            (Event::NotOpened, DEAF),
        ]),
    );
    check(
        "two addresses",
        vec![
            (start(), SEND),
            (SENT, wait(Timer::Start(SECOND))),
            (TOO_LONG, fail_over(1, &[1])),
            (Event::Opened(path(2, 2)), SEND),
            (SENT, wait(Timer::Keep)),
            (TOO_LONG, fail_over(2, &[1, 2])),
            (Event::NotOpened, Action::GiveUp),
        ],
    );
}

#[test]
fn a_shorter_packet_is_sent_at_once() {
    check(
        "on the same path, and the timer runs on",
        vec![
            (start(), SEND),
            (SENT, wait(Timer::Start(SECOND))),
            (Event::Shortened, SEND),
            (SENT, wait(Timer::Keep)),
            (timed_out(0, true), SEND_AND_RESOLVE),
        ],
    );
}

#[test]
fn an_event_out_of_turn_changes_nothing() {
    check(
        "while it waits",
        vec![
            (start(), SEND),
            (SENT, wait(Timer::Start(SECOND))),
            (SENT, wait(Timer::Keep)),
            (REFUSED, wait(Timer::Keep)),
            (Event::Opened(path(9, 9)), wait(Timer::Keep)),
            (timed_out(0, true), SEND_AND_RESOLVE),
        ],
    );
}
