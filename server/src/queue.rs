//! What waits in front of the lanes: first come, first served, by whichever lane has room. A lane that another program keeps from its core
//! takes less, so that nobody waits behind it. Knows no tasks and starts no thread.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Things that wait for one of several lanes.
#[derive(Debug)]
pub struct Queue<T> {
    state: Mutex<State<T>>,
    came: Condvar,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<T>,
    /// None where a lane has left.
    lanes: Vec<Option<Lane>>,
    open: bool,
}

/// What a lane said of itself when it last came.
#[derive(Clone, Copy, Debug)]
struct Lane {
    held: usize,
    room: bool,
}

impl<T> Queue<T> {
    /// Nothing waits for `lanes` idle lanes.
    pub fn new(lanes: usize) -> Self {
        let idle = Lane {
            held: 0,
            room: true,
        };
        Self {
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                lanes: vec![Some(idle); lanes],
                open: true,
            }),
            came: Condvar::new(),
        }
    }

    /// Puts `it` at the end.
    ///
    /// # Errors
    /// Gives it back where every lane has left.
    pub fn push(&self, it: T) -> Result<(), T> {
        let mut state = self.lock();
        if state.lanes.iter().all(Option::is_none) {
            return Err(it);
        }
        state.waiting.push_back(it);
        // Only an idle lane waits, and any idle lane may take it.
        self.came.notify_one();
        Ok(())
    }

    /// The first, for a lane that holds `held` and says whether it has `room`: if it has, and no other lane with room holds less. A lane
    /// that holds nothing waits for it; there is none any more once the queue is closed.
    pub fn next(&self, lane: usize, held: usize, room: bool) -> Option<T> {
        let mut state = self.lock();
        loop {
            state.lanes[lane] = Some(Lane { held, room });
            let mut others = state.lanes.iter().flatten();
            let turn = room && others.all(|other| !other.room || held <= other.held);
            if turn && let Some(first) = state.waiting.pop_front() {
                return Some(first);
            }
            if held > 0 || !state.open {
                return None;
            }
            let woken = self.came.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes out what is not to be kept; gives how much that was.
    pub fn retain(&self, keep: impl FnMut(&T) -> bool) -> usize {
        let mut state = self.lock();
        let before = state.waiting.len();
        state.waiting.retain(keep);
        before - state.waiting.len()
    }

    /// Nothing will come any more.
    pub fn close(&self) {
        self.lock().open = false;
        self.came.notify_all();
    }

    /// `lane` takes nothing any more; gives what waits when it was the last.
    pub fn leave(&self, lane: usize) -> VecDeque<T> {
        let mut state = self.lock();
        state.lanes[lane] = None;
        if state.lanes.iter().any(Option::is_some) {
            return VecDeque::new();
        }
        std::mem::take(&mut state.waiting)
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing here panics halfway through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    fn queue(lanes: usize, waiting: usize) -> Queue<usize> {
        let queue = Queue::new(lanes);
        for it in 0..waiting {
            queue.push(it).expect("the lanes are there");
        }
        queue
    }

    #[test]
    fn lanes_with_room_share_and_order_is_kept() {
        let queue = queue(2, 5);
        assert_eq!(queue.next(0, 0, true), Some(0));
        assert_eq!(queue.next(0, 1, true), None); // the other holds nothing
        assert_eq!(queue.next(1, 0, true), Some(1));
        assert_eq!(queue.next(1, 1, true), Some(2));
        assert_eq!(queue.next(0, 1, true), Some(3));
        assert_eq!(queue.next(0, 2, false), None); // full
        assert_eq!(queue.next(1, 9, true), Some(4)); // so the other need not mind it
    }

    #[test]
    fn an_idle_lane_waits_for_what_comes_and_for_the_end() {
        let queue = Arc::new(queue(1, 0));
        let lane = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || [queue.next(0, 0, true), queue.next(0, 0, true)])
        };
        queue.push(7).expect("the lane is there");
        queue.close();
        assert_eq!(lane.join().expect("it does not panic"), [Some(7), None]);
    }

    #[test]
    fn what_nobody_wants_any_more_is_taken_out() {
        let queue = queue(1, 4);
        assert_eq!(queue.retain(|it| it % 2 == 1), 2);
        assert_eq!(queue.next(0, 0, true), Some(1));
        assert_eq!(queue.next(0, 1, true), Some(3));
    }

    #[test]
    fn the_last_lane_leaves_nothing_behind() {
        let queue = queue(2, 2);
        assert!(queue.leave(0).is_empty());
        assert_eq!(queue.next(1, 3, true), Some(0)); // one that has left holds nobody back
        assert_eq!(queue.leave(1), [1]);
        assert_eq!(queue.push(2), Err(2));
    }
}
