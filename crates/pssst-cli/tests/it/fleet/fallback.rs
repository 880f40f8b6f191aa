//! Suite f003 where the network, or the client's own limit, has no room for it.

use pssst::{PskMaster, SecretKey};
use pssst_directory::IssuedPsk;
use pssst_directory_server::psk_master_to_pem;

use crate::fleet::process::Fleet;

#[test]
fn a_client_falls_back_as_its_owner_chose_and_not_otherwise() {
    let fleet = Fleet::new();
    fleet.generate_keys(&["server"]);
    fleet.stdout(&["keygen", "--suite", "f003", "--out", "long.key"]);
    fleet.write("long.pub", &fleet.stdout(&["pubkey", "long.key"]));
    fleet.stdout(&["keygen", "--format", "hex", "--out", "client.key"]);
    let identity = std::fs::read_to_string(fleet.path("client.key")).unwrap();
    let identity = SecretKey::from_hex(identity.trim()).unwrap().public_key();
    let master = PskMaster::from_bytes([0x44; 32]);
    fleet.write_private("master", &psk_master_to_pem(&master));
    let psk = IssuedPsk { psk: master.psk(&identity), master: master.id().into() };
    fleet.write_private("client.psk", &psk.expose_pem());
    let serve = ["serve", "--listen", "127.0.0.1:0", "--secret-key", "server.key", "--secret-key", "long.key"];
    let mut server = fleet.start(&[&serve[..], &["--psk-master", "master", "--verbose"]].concat(), 3);
    let address = server.value_of("listening on ");

    let request = |more: &[&str]| {
        let args = ["request", "--server", &address, "--server-key", "long.pub", "--identity", "client.key"];
        [&args.map(str::to_owned)[..], &more.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>()].concat()
    };
    let run = |more: &[&str]| {
        let args = request(more);
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let output = fleet.output(&args, "");
        (output.status.code().unwrap(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (psk, fallback) = (["--psk", "client.psk"], ["--fallback", "server.pub"]);
    let narrow = ["--max-datagram", "300", "hello"];
    assert_eq!(run(&[&psk[..], &["hello"]].concat()), (0, "hello".to_owned()));
    // Named, with both ways out.
    let (code, said) = run(&[&psk[..], &narrow].concat());
    assert!(code == 2 && said.contains("needs datagrams of 1232 bytes") && said.contains("--fallback"), "{said}");
    let (code, said) = run(&[&psk[..], &fallback, &narrow].concat());
    assert!(code == 0 && said.starts_with("hello") && said.contains("fell back to suite f002"), "{said}");
    // Only a pre-shared key keeps it closed to quantum computers.
    let (code, said) = run(&[&fallback[..], &narrow].concat());
    assert!(code == 2 && said.contains("--psk"), "{said}");
    for (value, cause) in [
        ("long.pub", "long.pub holds a public key of suite f003, and an X25519 public key is needed here"),
        ("directory", "there is no directory"),
    ] {
        let (code, said) = run(&[&psk[..], &["--fallback", value], &narrow].concat());
        assert!(matches!(code, 1 | 2) && said.contains(cause), "{said}");
    }
    let said = server.stop();
    assert_eq!(["(suite 0xf003", "(suite 0xf002"].map(|suite| said.matches(suite).count()), [1, 1], "{said}");
}
