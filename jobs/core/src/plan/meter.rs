//! How far the queries of a session are: what operators and engines tell, and whom.

/// Receives how far a session's queries are; the session carries it as an extension.
///
/// Operators that run in this process tell of rows ([`Meter::advance`]); an engine that runs them elsewhere tells of
/// whole queries ([`Meter::report`]).
pub struct Meter {
    rows: Box<dyn Fn(u64) + Send + Sync>,
    queries: Box<dyn Fn(QueryProgress) + Send + Sync>,
}

/// How far a query is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueryProgress {
    /// Units done.
    pub done: u64,
    /// Units in all, as far as the query's stages are known.
    pub total: u64,
    /// What is counted: `rows` or `tasks`.
    pub unit: &'static str,
    /// The stages under way, for people.
    pub note: String,
}

impl Meter {
    /// A meter that calls `rows` with the number of rows processed since the last call.
    pub fn new(rows: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Self { rows: Box::new(rows), queries: Box::new(|_| ()) }
    }

    /// The meter, with somebody who is told of whole queries.
    pub fn with_queries(self, queries: impl Fn(QueryProgress) + Send + Sync + 'static) -> Self {
        Self { queries: Box::new(queries), ..self }
    }

    /// Reports that `rows` more rows are processed.
    pub fn advance(&self, rows: u64) {
        (self.rows)(rows);
    }

    /// Reports how far a query of the session is.
    pub fn report(&self, progress: QueryProgress) {
        (self.queries)(progress);
    }
}
