//! A tape of random bytes that decides everything, so that proptest can shrink a failure by shortening the tape: where
//! the tape ends, every choice is the first one.

pub struct Tape<'a> {
    bytes: std::slice::Iter<'a, u8>,
}

impl<'a> Tape<'a> {
    pub fn new(bytes: &'a [u8]) -> Tape<'a> {
        Tape { bytes: bytes.iter() }
    }

    pub fn byte(&mut self) -> u8 {
        self.bytes.next().copied().unwrap_or(0)
    }

    /// A number below `count`.
    pub fn below(&mut self, count: usize) -> usize {
        let value =
            if count > 256 { usize::from(self.byte()) << 8 | usize::from(self.byte()) } else { self.byte().into() };
        value % count.max(1)
    }

    pub fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == one_in - 1
    }

    pub fn pick<'b, T>(&mut self, choices: &'b [T]) -> &'b T {
        &choices[self.below(choices.len())]
    }

    pub fn bits(&mut self) -> u64 {
        (0..8).fold(0, |bits, _| bits << 8 | u64::from(self.byte()))
    }

    /// Small numbers mostly, the ends of every range often.
    pub fn number(&mut self) -> u64 {
        match self.below(6) {
            0 => self.byte().into(),
            1 => u64::MAX,
            2 => 1 << self.below(64),
            3 => (1 << self.below(64)) - 1,
            4 => (self.byte() as i8) as u64,
            _ => self.bits(),
        }
    }

    pub fn text(&mut self) -> String {
        let letters =
            ["a", "B", "0", " ", "\"", "\\", "\n", "\u{1}", "é", "€", "😀", "/", "\u{7f}", "zz zz zz zz zz", "<", "{"];
        let len = if self.chance(12) { 60 } else { self.below(8) };
        (0..len).map(|_| *self.pick(&letters)).collect()
    }
}
