//! Client and server on a network that does its worst, in virtual time: nothing sleeps, and a seed
//! reproduces each run.

use std::sync::Arc;
use std::time::Duration;

use network::{LinkConditions, Net, Traffic};
use pssst::{SecretKey, Suite};
use tokio::task::{JoinHandle, JoinSet, LocalSet, spawn_local};
use tokio::time::{Instant, sleep};

use crate::client::Retry;
use crate::runtime::Heartbeat;
use crate::server::{Worker, WorkerCounts};
use crate::{Client, ClientStats, DatagramOutcome, Error, Handler, Reply, Request, Server, ServerConfig, Stats};

mod network;

const SECRET: [u8; 32] = [7; 32];
const TIMEOUT: Duration = Duration::from_secs(30);

/// A server of the pool.
struct Place {
    task: JoinHandle<()>,
    counts: Arc<WorkerCounts>,
}

impl Place {
    fn start(net: &Net, number: u16, handler: Handler) -> Self {
        let shared =
            Arc::new(Server::builder().shared(ServerConfig::new(SecretKey::from_bytes(SECRET), handler), false));
        let counts = Arc::new(WorkerCounts::new());
        let worker = Worker::new(net.server(number), shared, Arc::clone(&counts), Arc::new(Heartbeat::new()));
        Self { task: spawn_local(worker.run()), counts }
    }

    /// As when the power goes: what it had received is gone.
    fn crash(&self) {
        self.task.abort();
    }

    fn stats(&self) -> Stats {
        self.counts.snapshot()
    }
}

/// Answers each request in its own way, the same bytes every time, after up to 20 ms.
fn handler() -> Handler {
    Handler::from_service(tower::service_fn(async |request: Request| {
        let pause = u64::from(request.message().last().copied().unwrap_or_default() % 20);
        sleep(Duration::from_millis(pause)).await;
        Ok::<_, std::io::Error>(Some(Reply::from(answer(request.message()))))
    }))
}

fn answer(message: &[u8]) -> Vec<u8> {
    [b"the answer to ", message].concat()
}

async fn client(net: &Net, suite: Suite, identity: Option<u8>, retry: Retry) -> Client {
    let mut builder = Client::builder(SecretKey::from_bytes(SECRET).public_key())
        .suite(suite)
        .timeout(TIMEOUT)
        .retry(retry)
        .max_in_flight(IN_FLIGHT);
    if let Some(identity) = identity {
        builder = builder.identity(&SecretKey::from_bytes([identity; 32]));
    }
    builder.connect_on(Arc::new(net.clone()), "service").await.unwrap()
}

const IN_FLIGHT: usize = 50;
/// More than may be in flight.
const TASKS: u32 = 80;

/// What became of some transactions.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ended {
    replied: u32,
    timed_out: u32,
}

/// Makes transactions, several at a time, each with a message of its own. Each ends with the right
/// reply, or with a timeout at its deadline.
async fn transact(client: &Client, transactions: u32) -> Ended {
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let client = client.clone();
        tasks.spawn(async move {
            let mut ended = Ended::default();
            for number in (task..transactions).step_by(TASKS as usize) {
                let message = number.to_be_bytes();
                let start = Instant::now();
                match client.request(message).await {
                    Ok(reply) => {
                        assert_eq!(reply, answer(&message), "another request's reply, or a forged one");
                        assert!(start.elapsed() <= TIMEOUT);
                        ended.replied += 1;
                    }
                    Err(Error::Timeout { .. }) => {
                        // The clock of tokio has ticks of a millisecond.
                        let late = start.elapsed().abs_diff(TIMEOUT);
                        assert!(late <= Duration::from_millis(1), "{:?}", start.elapsed());
                        ended.timed_out += 1;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            ended
        });
    }
    let ended = tasks.join_all().await;
    Ended {
        replied: ended.iter().map(|ended| ended.replied).sum(),
        timed_out: ended.iter().map(|ended| ended.timed_out).sum(),
    }
}

/// Runs a scenario on a network under these conditions, in virtual time. The seed is printed, and
/// can be given as `PSSST_SIMULATION_SEED`.
fn simulate<T>(conditions: LinkConditions, scenario: impl AsyncFnOnce(Net) -> T) -> T {
    let seed = match std::env::var("PSSST_SIMULATION_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => rand::random(),
    };
    println!("seed {seed}");
    simulate_seed(seed, conditions, scenario)
}

fn simulate_seed<T>(seed: u64, conditions: LinkConditions, scenario: impl AsyncFnOnce(Net) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let net = Net::new(seed, conditions);
    LocalSet::new().block_on(&runtime, async {
        let outcome = scenario(net.clone()).await;
        // Whatever is still on its way arrives, and nobody minds.
        sleep(Duration::from_secs(60)).await;
        outcome
    })
}

const LOSSY: LinkConditions = LinkConditions {
    loss: 0.2,
    duplication: 0.2,
    corruption: 0.05,
    replay: 0.3,
    forgery: 0.3,
    delay: [Duration::from_millis(5), Duration::from_millis(400)],
};

const RETRY: Retry = Retry { initial_timeout: Duration::from_secs(1), max_retransmits: 4 };

async fn lossy(net: Net, transactions: u32) -> (Ended, Traffic, ClientStats, Stats) {
    let place = Place::start(&net, 0, handler());
    let client = client(&net, Suite::X25519AesGcm128, Some(3), RETRY).await;
    let ended = transact(&client, transactions).await;
    sleep(Duration::from_secs(60)).await;
    // Nothing is kept: no request, and no socket but the client's one and the server's.
    let stats = client.stats();
    assert_eq!((client.in_flight(), net.sockets()), (0, 2));
    (ended, net.traffic(), stats, place.stats())
}

#[test]
fn of_ten_thousand_transactions_in_a_storm_each_gets_its_own_reply_or_its_timeout() {
    let (ended, traffic, client, server) = simulate(LOSSY, async |net| lossy(net, 10_000).await);
    println!("{ended:?}, {traffic:?}");
    assert_eq!(ended.replied + ended.timed_out, 10_000);
    // Five tries, and two thirds of them get through: all five fail for one in 250.
    assert!((5..200).contains(&ended.timed_out), "{ended:?}");
    for fate in [traffic.lost, traffic.duplicated, traffic.corrupted, traffic.replayed, traffic.forged] {
        assert!(fate > 500, "{traffic:?}");
    }
    assert!(client.retransmits > 1000 && client.refused() > 1000 && client.unmatched_replies > 1000, "{client:?}");
    // Repeated requests got the bytes that they had got before.
    assert!(server.count(DatagramOutcome::ReplyResent) > 1000, "{server:?}");
    assert_eq!(server.in_flight(), 0);
}

#[test]
fn a_seed_tells_the_whole_story() {
    let scenario = |seed| simulate_seed(seed, LOSSY, async |net| lossy(net, 300).await);
    let ((ended, traffic, client, _), (ended_again, carried_again, client_again, _)) = (scenario(1), scenario(1));
    assert_eq!((&ended, traffic), (&ended_again, carried_again));
    assert_eq!(
        (client.datagrams_sent, client.unmatched_replies),
        (client_again.datagrams_sent, client_again.unmatched_replies)
    );
    let (_, carried_otherwise, ..) = scenario(2);
    assert_ne!(traffic, carried_otherwise);
}

#[test]
fn the_more_is_lost_the_more_is_sent_again() {
    let mut sent_before = 0;
    for (loss, most_timeouts) in [(0.0, 0), (0.1, 5), (0.3, 60), (0.5, 330)] {
        let (ended, sent) = simulate(LinkConditions { loss, ..LinkConditions::FAIR }, async |net| {
            let _place = Place::start(&net, 0, handler());
            let client = client(&net, Suite::X25519Aes256GcmSiv, None, RETRY).await;
            (transact(&client, 1000).await, client.stats().datagrams_sent)
        });
        println!("loss {loss}: {ended:?}, {sent} sent");
        assert!(ended.timed_out <= most_timeouts && sent > sent_before && sent <= 5000, "{ended:?}, {sent} sent");
        sent_before = sent;
    }
}

#[test]
fn forged_and_replayed_replies_end_nothing() {
    let conditions = LinkConditions { forgery: 1.0, replay: 1.0, ..LinkConditions::FAIR };
    let (ended, traffic, stats) = simulate(conditions, async |net| {
        let _place = Place::start(&net, 0, handler());
        let client = client(&net, Suite::X25519AesGcm128, None, RETRY).await;
        (transact(&client, 1000).await, net.traffic(), client.stats())
    });
    assert_eq!(ended, Ended { replied: 1000, timed_out: 0 });
    assert_eq!((traffic.forged, stats.datagrams_sent), (1000, 1000));
    // Every forgery overtook its reply and was refused; a replay was for a request that had ended,
    // or came twice.
    assert!(stats.refused() >= 1000 && stats.unmatched_replies > 500, "{stats:?}");
}

#[test]
fn requests_outlive_a_partition() {
    let ended = simulate(LinkConditions::FAIR, async |net| {
        let _place = Place::start(&net, 0, handler());
        let client = client(&net, Suite::X25519AesGcm128, None, RETRY).await;
        let under_way = tokio::spawn({
            let client = client.clone();
            async move { transact(&client, 5000).await }
        });
        // The last try, at 15 seconds or later, comes after both partitions.
        for _ in 0..2 {
            sleep(Duration::from_millis(300)).await;
            net.set_partitioned(true);
            sleep(Duration::from_secs(5)).await;
            net.set_partitioned(false);
        }
        let ended = under_way.await.unwrap();
        assert!(net.traffic().lost > 100 && client.stats().retransmits > 100);
        ended
    });
    assert_eq!(ended, Ended { replied: 5000, timed_out: 0 });
}

#[test]
fn requests_outlive_the_restart_of_their_server() {
    let ended = simulate(LinkConditions::FAIR, async |net| {
        let place = Place::start(&net, 0, handler());
        let client = client(&net, Suite::X25519AesGcm128, Some(3), RETRY).await;
        let under_way = tokio::spawn({
            let client = client.clone();
            async move { transact(&client, 5000).await }
        });
        sleep(Duration::from_millis(300)).await;
        place.crash();
        sleep(Duration::from_secs(4)).await;
        let before = place.stats().count(DatagramOutcome::Replied);
        let place = Place::start(&net, 0, handler());
        let ended = under_way.await.unwrap();
        let after = place.stats().count(DatagramOutcome::Replied);
        assert!(before > 100 && after > 100 && client.stats().retransmits >= 40, "{before} before, {after} after");
        ended
    });
    assert_eq!(ended, Ended { replied: 5000, timed_out: 0 });
}

#[test]
fn any_server_of_a_pool_answers_any_packet() {
    let conditions = LinkConditions { loss: 0.1, duplication: 0.5, ..LinkConditions::FAIR };
    let ended = simulate(conditions, async |net| {
        let places = [0, 1].map(|number| Place::start(&net, number, handler()));
        let client = client(&net, Suite::X25519AesGcm128, Some(3), Retry { max_retransmits: 10, ..RETRY }).await;
        let ended = transact(&client, 2000).await;
        for place in places {
            assert!(place.stats().count(DatagramOutcome::Replied) > 800);
            assert_eq!(place.stats().count(DatagramOutcome::Refused(pssst::Refusal::DecryptFailed)), 0);
        }
        ended
    });
    assert_eq!(ended.replied + ended.timed_out, 2000);
    assert!(ended.timed_out <= 5, "{ended:?}");
}

#[test]
fn a_pool_serves_on_when_one_of_its_servers_has_died() {
    let ended = simulate(LinkConditions::FAIR, async |net| {
        let _alive = Place::start(&net, 0, handler());
        // The balancer does not know.
        let _dead = net.server(1);
        let client = client(&net, Suite::X25519AesGcm128, None, Retry { max_retransmits: 4, ..RETRY }).await;
        transact(&client, 2000).await
    });
    // Each packet has an even chance: five in a row fail for 3%.
    assert_eq!(ended.replied + ended.timed_out, 2000);
    assert!(ended.timed_out <= 120, "{ended:?}");
}
