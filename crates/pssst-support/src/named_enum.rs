//! Enums whose variants have names for logs, metrics and tables of counters.

/// Defines an enum without fields whose variants have a place and a name.
///
/// The enum gets `ALL`, `COUNT`, `index()`, `name()` and [`Display`](std::fmt::Display), and it is
/// `Copy`, `Eq` and `Hash`.
///
/// ```
/// pssst_support::named_enum! {
///     /// How a request ended.
///     pub enum Outcome {
///         /// It was answered.
///         Answered => "answered",
///         /// Nobody answered in time.
///         TimedOut => "timed_out",
///     }
/// }
///
/// let mut counters = [0; Outcome::COUNT];
/// counters[Outcome::TimedOut.index()] += 1;
/// let shown: Vec<_> = Outcome::ALL.iter().map(|one| (one.name(), counters[one.index()])).collect();
/// assert_eq!(shown, [("answered", 0), ("timed_out", 1)]);
/// assert_eq!(Outcome::Answered.to_string(), "answered");
/// ```
#[macro_export]
macro_rules! named_enum {
    (
        $(#[$attribute:meta])*
        $visibility:vis enum $name:ident {
            $($(#[$variant_attribute:meta])* $variant:ident => $text:literal,)+
        }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        $visibility enum $name {
            $($(#[$variant_attribute])* $variant,)+
        }

        impl $name {
            /// All variants, in the order of their places.
            $visibility const ALL: [Self; Self::COUNT] = [$(Self::$variant,)+];
            /// The number of variants.
            $visibility const COUNT: usize = [$($text,)+].len();

            /// Returns the place among all variants, from 0.
            $visibility const fn index(self) -> usize {
                self as usize
            }

            /// Returns the name for logs and metrics.
            $visibility const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

#[cfg(test)]
mod tests {
    named_enum! {
        /// Directions.
        enum Direction {
            /// Up.
            Up => "up",
            /// Down.
            Down => "down",
        }
    }

    #[test]
    fn every_variant_has_its_place_and_name() {
        assert_eq!(Direction::COUNT, 2);
        assert_eq!(Direction::ALL.map(Direction::index), [0, 1]);
        assert_eq!(Direction::ALL.map(|one| one.to_string()), ["up", "down"]);
    }
}
