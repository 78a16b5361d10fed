//! A lease: of several processes that could drive the jobs of an archive, or one job, one does.
//!
//! A lease is a folder in the archive with one object for each of its terms, of which the highest counts. A term is
//! begun with create-if-absent, so that of two processes one gets it; its holder renews it, and finds out at each renewal
//! whether somebody else has begun a later one. The pattern is that of Gray and Cheriton, "Leases", SOSP 1989. Promises:
//!
//! - a term follows only when its holder gave it back, is a process of this machine that has ended, or has not renewed
//!   it for as long as it said it would; that time is measured by the clock of whoever waits, so that the clocks of two
//!   machines need not agree;
//! - a holder that stood still meanwhile hears that it lost the lease at its next renewal, and ends.
//!
//! A holder that cannot reach the store keeps the lease until somebody else has begun a term: what it would do wrong it
//! would do in the store. Start at [`Claim::vacancy`].

mod process;

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};
use tidewaiter_archive::Archive;
use tidewaiter_core::{Error, ErrorKind, Result, ResultExt};
use tokio::time::Instant;

use self::process::{Process, Sign};

/// Renewals in the time after which a lease expires.
const RENEWALS: u32 = 4;

/// The longest pause between two looks at a lease that somebody else has.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A process's wish for a lease.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The archive.
    pub archive: Archive,
    /// The folder of the lease's terms.
    pub folder: String,
    /// An id that no other claim has.
    pub id: String,
    /// Milliseconds since 1970, for people.
    pub now_ms: fn() -> i64,
    /// Without a renewal for so long, another process may begin a term.
    pub expiry: Duration,
}

/// Who has a lease; it is displayed as a clause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// What it is and where, such as `the scheduler at http://customs:50050`.
    who: String,
    id: String,
    process: Process,
    /// How often it has renewed the lease.
    renewals: u64,
    renewed_ms: i64,
    expires_ms: i64,
    expiry_ms: u64,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {})", self.who, self.process.number)
    }
}

impl Holder {
    /// Whether it is known to be a process that has ended.
    pub fn has_ended(&self) -> bool {
        self.process.sign() == Sign::Ended
    }
}

/// A lease that nobody has: the number of its next term.
#[derive(Debug)]
pub struct Vacancy {
    claim: Claim,
    term: u64,
}

/// A lease that this process has. It is kept by [`Lease::keep`].
#[derive(Debug)]
pub struct Lease {
    claim: Claim,
    term: u64,
    holder: Holder,
}

impl Claim {
    /// Waits until nobody has the lease; `tell` hears of each holder for which it waits.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn vacancy(&self, mut tell: impl FnMut(&Holder)) -> Result<Vacancy> {
        let mut silence = Silence::default();
        let mut told = None;
        loop {
            match self.look(&mut silence).await? {
                Look::Vacant(vacancy) => return Ok(vacancy),
                Look::Alive(holder) | Look::Silent(holder) => {
                    if told.as_ref() != Some(&holder.id) {
                        tell(&holder);
                        told = Some(holder.id.clone());
                    }
                    tokio::time::sleep(pause(&holder)).await;
                }
            }
        }
    }

    /// The lease if nobody has it, otherwise who has it. Waits where neither is known: for a sign of life of a process of
    /// another machine, no longer than it promised one.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn vacancy_or_holder(&self) -> Result<std::result::Result<Vacancy, Holder>> {
        let mut silence = Silence::default();
        loop {
            match self.look(&mut silence).await? {
                Look::Vacant(vacancy) => return Ok(Ok(vacancy)),
                Look::Alive(holder) => return Ok(Err(holder)),
                Look::Silent(holder) if holder.process.sign() == Sign::Alive => return Ok(Err(holder)),
                Look::Silent(holder) => tokio::time::sleep(pause(&holder)).await,
            }
        }
    }

    /// Who has the lease, as far as a single look tells; one who is known to have ended does not.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn holder(&self) -> Result<Option<Holder>> {
        Ok(self.last().await?.map(|(_, holder)| holder).filter(|holder| !holder.has_ended()))
    }

    async fn look(&self, silence: &mut Silence) -> Result<Look> {
        let vacant = |term| Look::Vacant(Vacancy { claim: self.clone(), term });
        let Some((term, holder)) = self.last().await? else { return Ok(vacant(1)) };
        let expiry = Duration::from_millis(holder.expiry_ms);
        let seen = silence.look(term, &holder, Instant::now());
        Ok(match seen {
            _ if holder.has_ended() => vacant(term + 1),
            Seen::Again(silent) if silent >= expiry => vacant(term + 1),
            Seen::Renewed => Look::Alive(holder),
            Seen::First | Seen::Again(_) => Look::Silent(holder),
        })
    }

    /// The highest term and its holder; `None` where there is no term.
    async fn last(&self) -> Result<Option<(u64, Holder)>> {
        loop {
            let terms = self.archive.list(&self.folder).await?;
            let terms = terms.iter().filter_map(|object| number_of(object.location.filename()?));
            let Some(term) = terms.max() else { return Ok(None) };
            let place = self.place(term);
            match self.archive.get(&place).await {
                Ok(bytes) => {
                    let holder = serde_json::from_slice::<Holder>(&bytes);
                    let context = || format!("read {}; delete it", self.archive.display(&place));
                    return Ok(Some((term, holder.context(context)?)));
                }
                // It was given back, or a later one has begun, since it was listed.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn place(&self, term: u64) -> String {
        format!("{}/{term:08}.json", self.folder)
    }

    /// Deletes the terms below one.
    async fn forget_before(&self, term: u64) -> Result<()> {
        for object in self.archive.list(&self.folder).await? {
            let number = object.location.filename().and_then(number_of);
            if let Some(number) = number.filter(|number| *number < term) {
                self.archive.delete(&self.place(number)).await?;
            }
        }
        Ok(())
    }
}

impl Vacancy {
    /// Begins the next term, as what is said here; `None` when somebody else was faster.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn take(self, who: &str) -> Result<Option<Lease>> {
        let Self { claim, term } = self;
        let expiry_ms = u64::try_from(claim.expiry.as_millis()).unwrap_or(u64::MAX);
        let holder = Holder {
            who: who.to_owned(),
            id: claim.id.clone(),
            process: Process::own(),
            renewals: 0,
            renewed_ms: 0,
            expires_ms: 0,
            expiry_ms,
        };
        let mut lease = Lease { claim, term, holder };
        let bytes = lease.next_renewal()?;
        // A write that landed and was not answered is found by what is there.
        let written = lease.claim.archive.put_new(&lease.claim.place(term), bytes).await;
        let last = lease.claim.last().await;
        match (written, last) {
            (_, Ok(Some((last, holder)))) if last == term && holder.id == lease.claim.id => {
                lease.claim.forget_before(term).await?;
                Ok(Some(lease))
            }
            (Err(error), _) | (Ok(_), Err(error)) => Err(error),
            (Ok(_), Ok(_)) => Ok(None),
        }
    }
}

impl Lease {
    /// Renews the lease until somebody else has it; then gives the error, of [`ErrorKind::Conflict`], that says so.
    pub async fn keep(&mut self) -> Error {
        let mut reached = true;
        loop {
            tokio::time::sleep(self.claim.expiry / RENEWALS).await;
            match self.renew().await {
                Ok(true) => reached = true,
                Ok(false) => return self.lost().await,
                Err(error) => {
                    if std::mem::take(&mut reached) {
                        let who = &self.holder.who;
                        tracing::warn!(who, error = error.chain(), "the lease is not renewed; trying again");
                    }
                }
            }
        }
    }

    /// Gives the lease back.
    pub async fn give_back(self) {
        let Claim { archive, folder, .. } = &self.claim;
        if let Err(error) = archive.delete(&self.claim.place(self.term)).await {
            tracing::warn!(error = error.chain(), "the lease is not given back, and expires");
        }
        archive.remove_empty(folder).await;
        if let Some((above, _)) = folder.rsplit_once('/') {
            archive.remove_empty(above).await;
        }
    }

    /// `false` when this process has the lease no longer.
    async fn renew(&mut self) -> Result<bool> {
        let last = self.claim.last().await?;
        if !last.is_some_and(|(term, holder)| term == self.term && holder.id == self.holder.id) {
            return Ok(false);
        }
        let bytes = self.next_renewal()?;
        self.claim.archive.put(&self.claim.place(self.term), bytes).await.map(|()| true)
    }

    fn next_renewal(&mut self) -> Result<Vec<u8>> {
        let holder = &mut self.holder;
        holder.renewals += 1;
        holder.renewed_ms = (self.claim.now_ms)();
        let expiry_ms = i64::try_from(holder.expiry_ms).unwrap_or(i64::MAX);
        holder.expires_ms = holder.renewed_ms.saturating_add(expiry_ms);
        Ok(serde_json::to_vec(holder)?)
    }

    async fn lost(&self) -> Error {
        let who = &self.holder.who;
        match self.claim.last().await {
            Ok(Some((_, holder))) => Error::conflict(format!(
                "{who} gave no sign of life for too long, and {holder} has taken its place"
            )),
            Ok(None) | Err(_) => Error::conflict(format!("{who} lost its lease; start it again")),
        }
    }
}

/// What a look at a lease shows.
enum Look {
    Vacant(Vacancy),
    /// It was renewed since it was last looked at.
    Alive(Holder),
    Silent(Holder),
}

/// How long a holder has not been seen to renew a lease.
#[derive(Default)]
struct Silence(Option<(u64, Holder, Instant)>);

impl Silence {
    fn look(&mut self, term: u64, holder: &Holder, now: Instant) -> Seen {
        let seen = match &self.0 {
            Some((known, last, since)) if *known == term && last.id == holder.id => {
                if last.renewals == holder.renewals {
                    return Seen::Again(now.saturating_duration_since(*since));
                }
                Seen::Renewed
            }
            _ => Seen::First,
        };
        self.0 = Some((term, holder.clone(), now));
        seen
    }
}

/// How a look at a holder relates to the one before.
enum Seen {
    First,
    Renewed,
    /// Not renewed, for so long.
    Again(Duration),
}

fn pause(holder: &Holder) -> Duration {
    (Duration::from_millis(holder.expiry_ms) / RENEWALS).clamp(Duration::from_millis(20), LONGEST_PAUSE)
}

/// The number in the name of a term's object.
fn number_of(name: &str) -> Option<u64> {
    name.strip_suffix(".json")?.parse().ok()
}

#[cfg(test)]
mod tests;
