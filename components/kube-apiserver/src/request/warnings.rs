//! The warnings of one answer: each once, and not more than clients and proxies take as headers.

/// Characters of all warnings together, beyond which each is cut off; upstream's.
const WHOLE: usize = 4096;
/// Characters that are left of a warning that is cut off.
const CUT: usize = 256;

/// Texts for Warning headers, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Warnings {
    given: Vec<String>,
    /// Characters that are shown.
    shown: usize,
    cutting: bool,
}

impl Warnings {
    /// Takes another one, unless it is empty, there already, or too much.
    pub fn add(&mut self, text: String) {
        if text.is_empty() || (self.cutting && self.shown >= WHOLE) || self.given.contains(&text) {
            return;
        }
        let length = text.chars().count();
        self.given.push(text);
        if self.cutting {
            self.shown += length.min(CUT);
        } else if self.shown + length <= WHOLE {
            self.shown += length;
        } else {
            self.cutting = true;
            let lengths = self.given.iter().map(|text| text.chars().count().min(CUT));
            self.shown = lengths.sum();
        }
    }

    pub fn take(&mut self) -> Vec<String> {
        let taken = std::mem::take(self);
        if !taken.cutting {
            return taken.given;
        }
        let cut = |text: &String| text.chars().take(CUT).collect();
        taken.given.iter().map(cut).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(texts: &[String]) -> Vec<usize> {
        let mut warnings = Warnings::default();
        texts.iter().for_each(|text| warnings.add(text.clone()));
        warnings.take().iter().map(|text| text.chars().count()).collect()
    }

    #[test]
    fn many_long_ones_are_cut_off_and_then_left_out() {
        let long = |number: usize| format!("{number:0300}");
        let all = |count: usize| (0..count).map(long).collect::<Vec<_>>();
        assert_eq!(
            taken(&[long(1), long(1), String::new(), "é".to_owned()]),
            [300, 1]
        );
        assert_eq!(taken(&all(13)), vec![300; 13]);
        assert_eq!(taken(&all(14)), vec![256; 14]);
        assert_eq!(taken(&all(30)), vec![256; 16]);
    }
}
