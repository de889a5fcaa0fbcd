//! The filter chain: which filter is next, and what now. Pure; it calls no filter itself.

use super::abi::Action;

/// The steps of a stream, in the order of a request and its response. Filters run in the order of the file in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    RequestHeaders,
    RequestBody,
    RequestTrailers,
    ResponseHeaders,
    ResponseBody,
    ResponseTrailers,
}

/// What follows from a filter's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Ask the next filter; with none left, the step is over and the server goes on.
    Next,
    /// The filter has paused: hold the stream until [`Cursor::resume`] or [`Cursor::again`].
    Wait,
    /// A filter has answered in place of the upstream: no other filter is asked in this step.
    Done,
}

/// What a filter did in its callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Action(Action),
    /// It sent a local response; its action is ignored.
    LocalResponse,
}

/// Where a stream stands in its chain of filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    step: Step,
    next: u16,
    waiting: bool,
}

impl Cursor {
    /// Before the first filter of a step.
    pub fn new(step: Step) -> Self {
        Self { step, next: 0, waiting: false }
    }

    /// Before the filter at `first`, for a step that those before it have been through.
    pub fn starting_at(step: Step, first: usize) -> Self {
        Self { step, next: u16::try_from(first).unwrap_or(u16::MAX), waiting: false }
    }

    pub fn step(&self) -> Step {
        self.step
    }

    /// Whether a filter has paused the stream.
    pub fn waiting(&self) -> bool {
        self.waiting
    }

    /// The filter that has paused the stream.
    pub fn paused_at(&self) -> Option<usize> {
        if self.waiting { usize::from(self.next).checked_sub(1) } else { None }
    }

    /// The filter that is asked now, of a chain of `len`; those that `skipped` names are passed over. `None`: a
    /// filter waits, or all have been asked.
    pub fn next(&mut self, len: usize, skipped: impl Fn(usize) -> bool) -> Option<usize> {
        if self.waiting {
            return None;
        }
        let index = (usize::from(self.next)..len).find(|&index| !skipped(index));
        self.next = u16::try_from(index.map_or(len, |index| index + 1)).unwrap_or(u16::MAX);
        index
    }

    /// Takes the answer of the filter that [`Cursor::next`] gave.
    pub fn answer(&mut self, answer: Answer) -> Flow {
        match answer {
            Answer::Action(Action::Continue) => Flow::Next,
            Answer::Action(Action::Pause) => {
                self.waiting = true;
                Flow::Wait
            }
            Answer::LocalResponse => {
                self.next = u16::MAX;
                Flow::Done
            }
        }
    }

    /// Ends a pause: the filter after the one that paused is next, of the same step. False when none had paused.
    pub fn resume(&mut self) -> bool {
        std::mem::take(&mut self.waiting)
    }

    /// Ends a pause of a body because more of it has come: the filter that paused is asked once more.
    pub fn again(&mut self) -> bool {
        let waited = self.resume();
        if waited {
            self.next = self.next.saturating_sub(1);
        }
        waited
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GO: Answer = Answer::Action(Action::Continue);
    const PAUSE: Answer = Answer::Action(Action::Pause);
    const REPLY: Answer = Answer::LocalResponse;
    const STEPS: [Step; 6] = [
        Step::RequestHeaders,
        Step::RequestBody,
        Step::RequestTrailers,
        Step::ResponseHeaders,
        Step::ResponseBody,
        Step::ResponseTrailers,
    ];

    /// Runs a chain in which filter `i` gives `answers[i]`, and tells who was asked and how it ended.
    fn run(cursor: &mut Cursor, answers: &[Answer], skipped: &[usize]) -> (Vec<usize>, Flow) {
        let mut asked = vec![];
        while let Some(index) = cursor.next(answers.len(), |index| skipped.contains(&index)) {
            asked.push(index);
            match cursor.answer(answers[index]) {
                Flow::Next => {}
                end => return (asked, end),
            }
        }
        (asked, Flow::Next)
    }

    #[test]
    fn each_step_asks_the_filters_in_the_order_of_the_file() {
        /// Answers of the filters, those that are skipped, those that are asked, and how it ends.
        type Row<'a> = (&'a [Answer], &'a [usize], &'a [usize], Flow);
        let table: &[Row<'_>] = &[
            (&[], &[], &[], Flow::Next),
            (&[GO, GO, GO], &[], &[0, 1, 2], Flow::Next),
            (&[GO, PAUSE, GO], &[], &[0, 1], Flow::Wait),
            (&[PAUSE, GO], &[], &[0], Flow::Wait),
            (&[GO, REPLY, GO], &[], &[0, 1], Flow::Done),
            (&[GO, GO, GO], &[0, 2], &[1], Flow::Next),
            (&[PAUSE, REPLY], &[0, 1], &[], Flow::Next),
        ];
        for step in STEPS {
            for (answers, skipped, asked, flow) in table {
                let mut cursor = Cursor::new(step);
                assert_eq!(run(&mut cursor, answers, skipped), (asked.to_vec(), *flow), "{step:?} {answers:?}");
                assert_eq!((cursor.step(), cursor.waiting()), (step, *flow == Flow::Wait));
            }
        }
    }

    #[test]
    fn resuming_goes_on_with_the_filter_after_the_one_that_paused() {
        let mut cursor = Cursor::new(Step::RequestHeaders);
        assert_eq!(run(&mut cursor, &[GO, PAUSE, PAUSE, GO], &[]), (vec![0, 1], Flow::Wait));
        assert_eq!(cursor.next(4, |_| false), None, "nobody is asked while one waits");
        assert!(cursor.resume());
        assert_eq!(run(&mut cursor, &[GO, PAUSE, PAUSE, GO], &[]), (vec![2], Flow::Wait));
        assert!(cursor.resume());
        assert_eq!(run(&mut cursor, &[GO, PAUSE, PAUSE, GO], &[]), (vec![3], Flow::Next));
        assert!(!cursor.resume(), "there is no pause to end");
    }

    #[test]
    fn more_of_a_body_asks_the_filter_that_paused_once_more() {
        let mut cursor = Cursor::new(Step::ResponseBody);
        assert_eq!(run(&mut cursor, &[GO, PAUSE, GO], &[]), (vec![0, 1], Flow::Wait));
        assert!(cursor.again());
        assert_eq!(run(&mut cursor, &[GO, GO, GO], &[]), (vec![1, 2], Flow::Next));
        assert!(!cursor.again());
    }

    #[test]
    fn nobody_is_asked_after_a_local_response() {
        let mut cursor = Cursor::new(Step::RequestHeaders);
        assert_eq!(run(&mut cursor, &[REPLY, GO], &[]), (vec![0], Flow::Done));
        assert_eq!(run(&mut cursor, &[REPLY, GO], &[]), (vec![], Flow::Next));
        assert!(!cursor.resume());
    }
}
