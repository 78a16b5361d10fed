//! Tests of leases: who has one, who waits, and who finds out that it was lost.

use super::*;

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3600);

/// Nobody renews so often.
const SHORT: Duration = Duration::from_millis(1);

fn claim(archive: &str, id: &str, expiry: Duration) -> Claim {
    Claim {
        archive: Archive::open(&format!("memory://lease-{archive}")).expect("opens"),
        folder: "leases/test".to_owned(),
        id: id.to_owned(),
        now_ms: || 1000,
        expiry,
    }
}

async fn taken(claim: &Claim) -> Lease {
    let vacancy = claim.vacancy(|_| ()).await.expect("looks");
    vacancy.take(&format!("the scheduler {}", claim.id)).await.expect("writes").expect("nobody else has it")
}

#[tokio::test]
async fn a_lease_is_held_while_it_is_renewed_and_vacant_when_it_is_given_back() {
    let (first, second) = (claim("renewed", "one", LONG), claim("renewed", "two", LONG));
    let mut lease = taken(&first).await;
    let mut silence = Silence::default();
    assert!(
        matches!(second.look(&mut silence).await, Ok(Look::Silent(_))),
        "nothing is known at a first look"
    );
    assert!(lease.renew().await.expect("written"));
    let Ok(Look::Alive(holder)) = second.look(&mut silence).await else { panic!("it was renewed") };
    assert!(holder.to_string().starts_with("the scheduler one (process "), "{holder}");
    assert_eq!((holder.renewed_ms, holder.expires_ms), (1000, 3_601_000));
    assert!(matches!(second.look(&mut silence).await, Ok(Look::Silent(_))));
    assert_eq!(second.holder().await.expect("looks"), Some(holder));

    lease.give_back().await;
    assert_eq!(second.holder().await.expect("looks"), None);
    taken(&second).await;
}

#[tokio::test]
async fn a_silent_holder_is_followed_and_hears_that_it_lost_the_lease() {
    let (first, second) = (claim("silent", "one", SHORT), claim("silent", "two", LONG));
    let mut lease = taken(&first).await;
    let mut told = Vec::new();
    let vacancy = second.vacancy(|holder| told.push(holder.who.clone())).await.expect("looks");
    assert_eq!(told, ["the scheduler one"], "it says once for whom it waits");
    let follower = vacancy.take("the scheduler two").await.expect("writes").expect("nobody else has it");
    assert_eq!(first.archive.list("leases/test").await.expect("listed").len(), 1, "old terms go away");

    let lost = lease.keep().await;
    assert_eq!(lost.kind(), ErrorKind::Conflict);
    let text = lost.chain();
    assert!(text.contains("the scheduler one gave no sign") && text.contains("the scheduler two"), "{text}");
    drop(follower);
}

#[tokio::test]
async fn of_two_that_find_it_vacant_one_gets_it() {
    let (first, second) = (claim("race", "one", LONG), claim("race", "two", LONG));
    let one = first.vacancy(|_| ()).await.expect("looks");
    let two = second.vacancy(|_| ()).await.expect("looks");
    let one = one.take("one").await.expect("writes");
    let two = two.take("two").await.expect("writes");
    assert!(one.is_some() && two.is_none());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_holder_of_this_machine_is_known_to_live_or_to_have_ended() {
    let (first, second) = (claim("ended", "one", LONG), claim("ended", "two", LONG));
    let mut lease = taken(&first).await;
    let held = second.vacancy_or_holder().await.expect("looks").expect_err("its process exists");
    assert!(!held.has_ended());
    lease.holder.process = Process::own().of_an_ended_one();
    assert!(lease.renew().await.expect("written"));
    assert_eq!(second.holder().await.expect("looks"), None);
    second.vacancy_or_holder().await.expect("looks").expect("it has ended");
    taken(&second).await;
}
