//! Tests of the reader: separators, envelopes, character sets, broken text, and any text at all.

use super::*;

/// Everything a text gives: per message its segments' tags and issues, then the ends.
fn read(bytes: &[u8]) -> (Vec<Message>, Vec<InterchangeEnd>) {
    let mut reader = Reader::new(bytes);
    let (mut messages, mut ends) = (Vec::new(), Vec::new());
    while let Some(event) = reader.next().unwrap() {
        match event {
            Event::Message(message) => messages.push(message.clone()),
            Event::End(end) => ends.push(end),
        }
    }
    (messages, ends)
}

fn kinds(issues: &[Issue]) -> Vec<IssueKind> {
    issues.iter().map(|issue| issue.kind).collect()
}

const PLAIN: &str = "UNB+UNOA:3+A+B+140202:0600+1'UNH+7+PAXLST:D:02B:UN'BGM+745'UNT+3+7'UNZ+1+1'";

#[test]
fn a_message_in_order_has_no_issue() {
    let (messages, ends) = read(PLAIN.as_bytes());
    assert_eq!(messages.len(), 1);
    let message = &messages[0];
    assert_eq!(message.issues, []);
    let tags: Vec<_> =
        message.segments().map(|segment| (segment.number(), segment.tag(), segment.offset())).collect();
    assert_eq!(tags, [(1, "UNH", 29), (2, "BGM", 51), (3, "UNT", 59)]);
    assert_eq!((message.header.kind.as_str(), message.header.release.as_str()), ("PAXLST", "02B"));
    assert_eq!(message.interchange.sender, "A");
    assert_eq!(message.raw(), b"UNH+7+PAXLST:D:02B:UN'BGM+745'UNT+3+7'");
    assert_eq!(ends.len(), 1);
    assert_eq!((ends[0].messages, ends[0].issues.len()), (1, 0));
}

#[test]
fn separators_are_those_of_una_for_its_interchange_only() {
    let text = format!("UNA:*.? $UNB*UNOA:4*A*B*1:2*1$UNH*7*X:1$FTX*a?*b:c??'+$UNT*3*7$UNZ*1*1$\r\n{PLAIN}");
    let (messages, ends) = read(text.as_bytes());
    assert_eq!(messages.len(), 2);
    let free = messages[0].segment(2).unwrap();
    assert_eq!((free.get(1, 0), free.get(1, 1), free.get(1, 2)), ("a*b", "c?'+", ""));
    assert_eq!(free.raw(), "FTX*a?*b:c??'+");
    assert!(ends.iter().all(|end| end.issues.is_empty()), "{ends:?}");
}

#[test]
fn released_terminators_and_repetitions_are_read() {
    let text = "UNB+UNOC:4+A+B+1:2+1'UNH+7+X:1'FTX+it?'s ??'ATT+a:b*c*d+e'UNT+4+7'UNZ+1+1'";
    let (messages, _) = read(text.as_bytes());
    assert_eq!(messages[0].segment(2).unwrap().get(1, 0), "it's ?");
    let repeated = messages[0].segment(3).unwrap();
    assert_eq!((repeated.repeated(1, 1, 0), repeated.repeated(1, 2, 0), repeated.get(2, 0)), ("c", "d", "e"));
}

#[test]
fn level_b_has_separators_that_are_no_characters() {
    let text = PLAIN.replace('+', "\u{1d}").replace(':', "\u{1f}").replace('\'', "\u{1c}");
    let (messages, ends) = read(text.as_bytes());
    assert_eq!(messages[0].header.kind, "PAXLST");
    assert_eq!((messages[0].issues.len(), ends[0].issues.len()), (0, 0));
}

#[test]
fn text_is_decoded_by_the_set_that_unb_names() {
    let with = |set: &str, bytes: &[u8]| {
        let head = format!("UNB+{set}:4+A+B+1:2+1'UNH+7+X:1'FTX+");
        let text = [head.as_bytes(), bytes, b"+z'UNT+3+7'UNZ+1+1'"].concat();
        let (messages, _) = read(&text);
        let segment = messages[0].segment(2).unwrap();
        assert_eq!(segment.get(2, 0), "z");
        (segment.get(1, 0).to_owned(), kinds(&messages[0].issues))
    };
    assert_eq!(with("UNOC", b"M\xfcller"), ("Müller".to_owned(), vec![]));
    assert_eq!(with("UNOD", b"Wa\xb3\xeasa"), ("Wałęsa".to_owned(), vec![]));
    assert_eq!(with("UNOE", b"\xb8\xd2\xd0\xdd"), ("Иван".to_owned(), vec![]));
    assert_eq!(with("UNOF", b"\xcd\xdf\xea\xef\xf2"), ("Νίκος".to_owned(), vec![]));
    assert_eq!(with("UNOK", b"\xddnan\xe7"), ("İnanç".to_owned(), vec![]));
    assert_eq!(with("UNOY", "Łódź".as_bytes()), ("Łódź".to_owned(), vec![]));
    // The second half of a character of ISO 2022 is a plus sign's byte.
    assert_eq!(with("UNOX", b"\x1b$B$+\x1b(B").0, "か");
    assert_eq!(with("UNOA", "é".as_bytes()), ("é".to_owned(), vec![IssueKind::CharacterSet]));
    assert_eq!(with("UNOA", b"\xe9"), ("é".to_owned(), vec![IssueKind::CharacterSet]));
    assert_eq!(with("UNOY", b"\xe9").1, [IssueKind::CharacterSet]);
}

#[test]
fn wrapped_lines_are_joined_and_lost_terminators_found() {
    let text = "UNB+IATA:1+A+B+1:2+1'\nUNH+1+PNRGOV:11:1:IA'\nADD++700:45 HIGH\r\nSTREET'\nSSR+DOCS\u{2019}\nTVL+1\n\
                RPI+1+HK'UNT+6+1'UNZ+1+1'";
    let (messages, _) = read(text.as_bytes());
    let tags: Vec<_> = messages[0].segments().map(|segment| segment.tag().to_owned()).collect();
    assert_eq!(tags, ["UNH", "ADD", "SSR", "TVL", "RPI", "UNT"]);
    assert_eq!(messages[0].segment(2).unwrap().get(2, 1), "45 HIGHSTREET");
    let found: Vec<_> = messages[0].issues.iter().map(|issue| (issue.kind, issue.segment)).collect();
    assert_eq!(found, [(IssueKind::TypographicTerminator, 3), (IssueKind::MissingTerminator, 4)]);
}

#[test]
fn wrong_counts_and_references_are_flagged_at_their_segment() {
    let text = PLAIN.replace("UNT+3+7", "UNT+9+8").replace("UNZ+1+1", "UNZ+2+3");
    let (messages, ends) = read(text.as_bytes());
    let found: Vec<_> =
        messages[0].issues.iter().map(|issue| (issue.kind, issue.segment, issue.offset)).collect();
    assert_eq!(found, [(IssueKind::SegmentCount, 3, 59), (IssueKind::Reference, 3, 59)]);
    assert_eq!(kinds(&ends[0].issues), [IssueKind::MessageCount, IssueKind::Reference]);
}

#[test]
fn cut_messages_are_kept() {
    for (text, segments) in [
        ("UNB+UNOA:3+A+B+1:2+1'UNH+7+PAXLST:D'BGM+745", 2),
        ("UNB+UNOA:3+A+B+1:2+1'UNH+7+PAXLST:D'BGM+745'UNZ+1+1'", 2),
        ("UNB+UNOA:3+A+B+1:2+1'UNH+7+PAXLST:D'UNB+UNOA:3+A+B+1:2+1'", 1),
    ] {
        let (messages, ends) = read(text.as_bytes());
        assert_eq!(messages[0].segments().len(), segments);
        assert!(kinds(&messages[0].issues).contains(&IssueKind::CutMessage), "{text}");
        assert!(!ends.is_empty());
    }
    let without_header = "UNB+UNOA:3+A+B+1:2+1'BGM+745'UNT+2+'UNZ+1+1'";
    let (messages, _) = read(without_header.as_bytes());
    assert_eq!(messages[0].header.kind, "PAXLST");
    assert_eq!(kinds(&messages[0].issues), [IssueKind::MissingHeader]);
}

#[test]
fn text_outside_of_interchanges_is_reported_and_passed_over() {
    let (messages, ends) = read(format!("hello '\n{PLAIN}garbage").as_bytes());
    assert_eq!(messages.len(), 1);
    assert_eq!(kinds(&ends[0].issues), [IssueKind::OutsideInterchange]);
    assert_eq!(kinds(&ends[1].issues), [IssueKind::OutsideInterchange]);
    let (messages, _) = read(format!("hello {PLAIN}").as_bytes());
    assert_eq!(messages.len(), 1);
}

#[test]
fn separators_that_cannot_be_told_apart_are_not_used() {
    let (messages, ends) = read(format!("UNA++.? '{PLAIN}").as_bytes());
    assert_eq!(messages[0].issues, []);
    assert_eq!(kinds(&ends[0].issues), [IssueKind::BadAdvice]);
}

#[test]
fn memory_is_bounded_by_the_limits() {
    let long = format!(
        "UNB+UNOA:3+A+B+1:2+1'UNH+7+X'FTX+{}'{}UNT+3+7'UNZ+1+1'",
        "a".repeat(5000),
        "BGM+1'".repeat(900)
    );
    let mut reader = Reader::with_limits(long.as_bytes(), Limits { segment: 2048, message: 4000 });
    let Some(Event::Message(message)) = reader.next().unwrap() else { panic!("a message") };
    assert!(message.raw().len() <= 4010, "{}", message.raw().len());
    let kinds = kinds(&message.issues);
    assert!(
        kinds.contains(&IssueKind::SegmentTooLong) && kinds.contains(&IssueKind::MessageTooLong),
        "{kinds:?}"
    );
}

/// Gives one byte at a time.
struct Slow<'a>(&'a [u8]);

impl std::io::Read for Slow<'_> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
        to[0] = *first;
        self.0 = rest;
        Ok(1)
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..proptest::prelude::ProptestConfig::with_cases(300) })]

    #[test]
    fn any_bytes_are_read_to_their_end(
        parts in proptest::collection::vec(proptest::sample::select(vec![
            "UNA:+.? '", "UNA:*.?+$", "UNB+UNOA:4+A+B+1:2+1'", "UNB+UNOX:4'", "UNH+1+PAXLST:D'", "UNT+1+1'", "UNZ+1+1'",
            "UNG+'", "UNE+'", "'", "?", "+", ":", "*", "\r\n", "\n", "BGM", "TIF+", "\u{2019}", "é", "\u{1b}$B", "\u{1c}",
            "\u{1d}", "U", "UN", "UNA", " ", "$",
        ]), 0..40),
        noise in proptest::collection::vec(proptest::num::u8::ANY, 0..20),
    ) {
        let bytes = [parts.concat().as_bytes(), &noise, parts.concat().as_bytes()].concat();
        let (messages, ends) = read(&bytes);
        for message in &messages {
            for segment in message.segments() {
                let _ = (segment.tag(), segment.raw(), segment.all().count(), segment.rest(1, 0));
            }
        }
        // The pieces in which the input comes change nothing.
        let mut reader = Reader::new(Slow(&bytes));
        let (mut slow, mut slow_ends) = (0, Vec::new());
        while let Some(event) = reader.next().unwrap() {
            match event {
                Event::Message(message) => {
                    proptest::prop_assert_eq!(message.raw(), messages[slow].raw());
                    proptest::prop_assert_eq!(&message.issues, &messages[slow].issues);
                    slow += 1;
                }
                Event::End(end) => slow_ends.push(end),
            }
        }
        proptest::prop_assert_eq!(slow, messages.len());
        proptest::prop_assert_eq!(slow_ends, ends);
    }
}
