//! Where a send may go, with names that resolve as a test says, and real receivers.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use bytes::Bytes;
use flagtrail_testkit::authority::Authority;
use flagtrail_testkit::proxy::{Asked, Proxy};
use flagtrail_testkit::receiver::Receiver;
use flagtrail_testkit::wire::{Act, Wire, send};
use rstest::rstest;
use tokio::net::TcpSocket;

use super::{Answer, Sender, Verdict};
use crate::endpoint::EndpointTls;
use crate::send::bounds::Times;
use crate::send::egress::{Egress, EgressConfig, Lookup, ProxyConfig};
use crate::send::failure::FailureClass;
use crate::send::marks::Marks;
use crate::send::parcel::Parcel;
use crate::send::target::Target;

const LOOPBACK: &str = "127.0.0.1";

/// Never reached.
const LONG: Times = Times { resolve: Duration::from_secs(60), connect: Duration::from_secs(60) };

/// Answers each lookup with the next list of addresses.
#[derive(Default)]
struct Names(Mutex<VecDeque<Vec<IpAddr>>>);

impl Names {
    fn answering(lists: &[&[&str]]) -> Arc<Self> {
        let list = |list: &&[&str]| list.iter().map(|text| text.parse().expect("an address")).collect();
        Arc::new(Self(Mutex::new(lists.iter().map(list).collect())))
    }

    /// Lists that nobody asked for yet.
    fn left(&self) -> usize {
        self.0.lock().expect("no panic").len()
    }
}

impl Lookup for Names {
    fn lookup(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        self.0.lock().expect("no panic").pop_front().ok_or_else(|| io::Error::other("no such name"))
    }
}

fn allowing(networks: &[&str]) -> EgressConfig {
    let networks = networks.iter().map(|network| network.parse().expect("a network"));
    EgressConfig { networks: networks.collect(), ..EgressConfig::default() }
}

fn through(proxy: SocketAddr, resolves: bool, networks: &[&str]) -> Egress {
    let url = format!("http://ada:p%40ss@{proxy}").parse().expect("a URL");
    Egress::new(EgressConfig { proxy: Some(ProxyConfig { url, resolves }), ..allowing(networks) })
}

fn sender(egress: &Egress, names: Arc<dyn Lookup>) -> Sender {
    Sender::with(egress.clone(), names, LONG).expect("a client")
}

async fn deliver(sender: &Sender, target: &Target) -> Answer {
    let time = "2026-08-21T17:30:57.006318Z".to_owned();
    let parcel = Parcel::new("1".to_owned(), "flag.created", time, Bytes::from_static(b"{}"));
    let marks =
        Marks { partition: 0, offset: 1, previous: None, replay: None, checkpoint: None, collapsed: false };
    sender.send(target, &parcel, &marks, 1_700_000_000).await
}

fn failed(class: FailureClass) -> Verdict {
    Verdict::Failed(class)
}

#[tokio::test]
async fn the_address_that_was_checked_is_connected_to_and_a_second_answer_is_checked_again() {
    let receiver = Receiver::start().expect("a receiver");
    // Closes each connection, so that every request makes one.
    receiver.answer(flagtrail_testkit::receiver::Answer::status(200).header("connection", "close"));
    let names = Names::answering(&[&[LOOPBACK], &["169.254.169.254"], &[LOOPBACK]]);
    let egress = Egress::new(EgressConfig { hosts: Vec::new(), ..allowing(&["127.0.0.1/32"]) });
    let sender = sender(&egress, names.clone());
    // By https only names are allowed, and the receiver has no TLS: that it fails there shows that it got there.
    let target = Target::to(&format!("https://rebinding.example:{}/", receiver.address().port()));
    assert_eq!(deliver(&sender, &target).await.verdict, failed(FailureClass::Tls));
    assert_eq!((receiver.connections(), names.left()), (1, 2), "one lookup, one connection");
    assert_eq!(deliver(&sender, &target).await.verdict, failed(FailureClass::NotAllowed));
    assert_eq!((receiver.connections(), names.left()), (1, 1), "one lookup, no connection");
    assert_eq!(deliver(&sender, &target).await.verdict, failed(FailureClass::Tls));
    assert_eq!((receiver.connections(), names.left()), (2, 0));
}

#[tokio::test]
async fn a_name_that_answers_one_public_and_one_private_address_is_not_connected_to() {
    let receiver = Receiver::start().expect("a receiver");
    let names = Names::answering(&[&["93.184.216.34", LOOPBACK]]);
    let sender = sender(&Egress::default(), names);
    let target = Target::to(&format!("https://both.example:{}/", receiver.address().port()));
    assert_eq!(deliver(&sender, &target).await.verdict, failed(FailureClass::NotAllowed));
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn a_connection_kept_open_is_not_used_once_the_policy_has_changed() {
    let receiver = Receiver::start().expect("a receiver");
    let egress = Egress::new(allowing(&["127.0.0.0/8"]));
    let sender = sender(&egress, Arc::new(Names::default()));
    let target = Target::to(&receiver.url("/"));
    for _ in 0..3 {
        assert_eq!(deliver(&sender, &target).await.verdict, Verdict::Delivered);
    }
    assert_eq!(receiver.connections(), 1, "kept and used again");
    egress.replace(allowing(&["127.0.0.1/32"]));
    assert_eq!(deliver(&sender, &target).await.verdict, Verdict::Delivered);
    assert_eq!(receiver.connections(), 2, "opened under the policy in force");
    egress.replace(EgressConfig::default());
    assert_eq!(deliver(&sender, &target).await.verdict, failed(FailureClass::NotAllowed));
    assert_eq!(receiver.count(), 4);
}

#[tokio::test]
async fn a_receiver_that_never_accepts_is_given_up_in_time() {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("bound");
    let listener = socket.listen(1).expect("it listens");
    let address = listener.local_addr().expect("its address");
    // More than wait for a listener that nobody asks: the kernel leaves the next one without an answer.
    let waiting: Vec<_> =
        (0..8).map(|_| TcpStream::connect_timeout(&address, Duration::from_millis(20))).collect();
    assert!(waiting.iter().any(Result::is_err), "the queue is full");
    let egress = Egress::new(allowing(&["127.0.0.1/32"]));
    let times = Times { connect: Duration::from_millis(200), ..LONG };
    let sender = Sender::with(egress, Arc::new(Names::default()), times).expect("a client");
    let answer = deliver(&sender, &Target::to(&format!("http://{address}/"))).await;
    assert_eq!(answer.verdict, failed(FailureClass::ConnectTimeout));
}

/// Answers when the test is over.
struct Hanging(Mutex<mpsc::Receiver<()>>);

impl Lookup for Hanging {
    fn lookup(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        let _ = self.0.lock().expect("no panic").recv();
        Err(io::Error::other("the test is over"))
    }
}

#[rstest]
#[case::directly(None)]
#[case::through_a_proxy(Some(Proxy::start().expect("a proxy")))]
#[tokio::test]
async fn a_name_that_hangs_is_given_up_in_time(#[case] proxy: Option<Proxy>) {
    let (over, waiting) = mpsc::sync_channel(1);
    let egress = proxy.map_or_else(Egress::default, |proxy| through(proxy.address(), false, &[]));
    let times = Times { resolve: Duration::from_millis(100), ..LONG };
    let sender = Sender::with(egress, Arc::new(Hanging(waiting.into())), times).expect("a client");
    let answer = deliver(&sender, &Target::to("https://hanging.example/")).await;
    assert_eq!(answer.verdict, failed(FailureClass::Dns));
    drop::<mpsc::SyncSender<()>>(over);
}

/// A receiver behind TLS, whose certificate is for a name, and what trusts it.
fn named(name: &str) -> (Wire, EndpointTls) {
    let authority = Authority::new().expect("an authority");
    let config = authority.certify(name).and_then(|identity| identity.server(None)).expect("a certificate");
    let acts = vec![Act::Read, send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine")];
    let tls = EndpointTls { ca: Some(authority.pem().to_owned()), ..EndpointTls::default() };
    (Wire::start_tls(acts, config).expect("a server"), tls)
}

#[tokio::test]
async fn a_proxy_is_asked_for_the_address_that_was_checked_and_tls_is_with_the_name() {
    let (wire, tls) = named("hooks.example");
    let proxy = Proxy::start().expect("a proxy");
    let names = Names::answering(&[&[LOOPBACK]]);
    let sender = sender(&through(proxy.address(), false, &["127.0.0.1/32"]), names);
    let target = Target::to(&format!("https://hooks.example:{}/", wire.address().port())).trusting(&tls);
    let answer = deliver(&sender, &target).await;
    assert_eq!((answer.verdict, answer.excerpt.as_slice()), (Verdict::Delivered, &b"fine"[..]));
    let authorization = Some("Basic YWRhOnBAc3M=".to_owned());
    assert_eq!(proxy.asked(), [Asked { authority: wire.address().to_string(), authorization }]);
}

#[tokio::test]
async fn plain_http_to_an_allow_listed_host_goes_through_a_tunnel_too() {
    let receiver = Receiver::start().expect("a receiver");
    let proxy = Proxy::start().expect("a proxy");
    let sender = sender(&through(proxy.address(), false, &["127.0.0.1/32"]), Names::answering(&[]));
    for _ in 0..2 {
        assert_eq!(deliver(&sender, &Target::to(&receiver.url("/"))).await.verdict, Verdict::Delivered);
    }
    let asked: Vec<_> = proxy.asked().into_iter().map(|asked| asked.authority).collect();
    assert_eq!(asked, [receiver.address().to_string()], "one tunnel, used twice");
}

#[rstest]
#[case::a_name_that_leads_inside("https://inside.example/")]
#[case::an_address_inside("https://10.0.0.1/")]
#[tokio::test]
async fn a_proxy_is_not_even_asked_for_what_the_policy_refuses(#[case] url: &str) {
    let proxy = Proxy::start().expect("a proxy");
    let names = Names::answering(&[&["93.184.216.34", "10.0.0.1"]]);
    let sender = sender(&through(proxy.address(), false, &[]), names);
    assert_eq!(deliver(&sender, &Target::to(url)).await.verdict, failed(FailureClass::NotAllowed));
    assert_eq!(proxy.asked(), []);
}

#[tokio::test]
async fn a_proxy_to_which_the_policy_is_delegated_is_asked_for_names_and_never_for_an_address_inside() {
    let proxy = Proxy::refusing(502).expect("a proxy");
    let names = Names::answering(&[]);
    let sender = sender(&through(proxy.address(), true, &[]), names);
    let answer = deliver(&sender, &Target::to("https://hooks.example/")).await;
    assert_eq!(answer.verdict, failed(FailureClass::Proxy));
    let answer = deliver(&sender, &Target::to("https://10.0.0.1/")).await;
    assert_eq!(answer.verdict, failed(FailureClass::NotAllowed));
    let asked: Vec<_> = proxy.asked().into_iter().map(|asked| asked.authority).collect();
    assert_eq!(asked, ["hooks.example:443"]);
}

#[rstest]
#[case::forbids(403)]
#[case::wants_credentials(407)]
#[case::cannot_reach_it(502)]
#[tokio::test]
async fn a_proxy_that_makes_no_tunnel_is_asked_for_each_address_and_named_as_the_cause(#[case] status: u16) {
    let proxy = Proxy::refusing(status).expect("a proxy");
    let names = Names::answering(&[&["93.184.216.34", "2606:2800:220:1::1"]]);
    let sender = sender(&through(proxy.address(), false, &[]), names);
    let answer = deliver(&sender, &Target::to("https://hooks.example/")).await;
    assert_eq!(answer.verdict, failed(FailureClass::Proxy));
    let asked: Vec<_> = proxy.asked().into_iter().map(|asked| asked.authority).collect();
    assert_eq!(asked, ["93.184.216.34:443", "[2606:2800:220:1::1]:443"]);
}

#[tokio::test]
async fn a_proxy_that_refuses_at_length_and_does_not_hang_up_is_understood_at_once() {
    let page = "x".repeat(64 * 1024);
    let length = page.len();
    let answer = format!("HTTP/1.1 407 No\r\ncontent-length: {length}\r\n\r\n{page}");
    let proxy = Wire::start(vec![Act::Read, send(&answer), Act::Hang]).expect("a proxy");
    let names = Names::answering(&[&["93.184.216.34"]]);
    let sender = sender(&through(proxy.address(), false, &[]), names);
    let answer = deliver(&sender, &Target::to("https://hooks.example/")).await;
    assert_eq!(answer.verdict, failed(FailureClass::Proxy));
    assert_eq!(answer.detail.as_deref(), Some("the proxy refused with status 407"));
}

#[tokio::test]
async fn a_proxy_that_does_not_listen_is_named_as_the_cause() {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("bound");
    let egress = through(socket.local_addr().expect("its address"), false, &[]);
    let sender = sender(&egress, Names::answering(&[&["93.184.216.34"]]));
    let answer = deliver(&sender, &Target::to("https://hooks.example/")).await;
    assert_eq!(answer.verdict, failed(FailureClass::Proxy));
}
