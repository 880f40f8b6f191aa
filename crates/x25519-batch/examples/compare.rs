//! Compares backends and libraries: nanoseconds for one X25519 in batches of several sizes.
//!
//! ```sh
//! cargo run --release -p x25519-batch --example compare
//! ```
//!
//! `--plot FILE` draws what one core computes in a second, in batches of 64.
//!
//! All are measured in turn, many times over, so that a change of the machine's pace meets all of
//! them, and the medians are shown. The last line, `ratio R`, is the best single-multiplication
//! library's time divided by the best backend's at a batch of 64.

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn main() {
    eprintln!("the libraries to compare with are not all on this target");
    std::process::exit(1);
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn main() {
    measurement::main();
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod measurement {
    use std::hint::black_box;
    use std::time::Instant;

    use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey};
    use graviola::key_agreement::x25519::{PublicKey, StaticPrivateKey};
    use pssst_test::bar_chart::{Bar, BarChart};
    use rand::{Rng, SeedableRng, rngs::ChaCha20Rng};
    use x25519_batch::{Backend, PointClass, Product, X25519};

    const SIZES: [usize; 6] = [1, 2, 4, 8, 16, 64];
    const LARGEST: usize = 64;
    /// Rounds in which each column of the table is measured once.
    const ROUNDS: usize = 40;

    /// A way to do some multiplications, or something else with some points.
    type Run = Box<dyn FnMut(&Inputs, usize)>;

    struct Row {
        name: String,
        run: Run,
        /// By size, the nanoseconds for one in every round.
        times: [Vec<f64>; SIZES.len()],
    }

    struct Inputs {
        scalars: Vec<[u8; 32]>,
        points: Vec<[u8; 32]>,
    }

    impl Row {
        fn new(name: impl Into<String>, run: impl FnMut(&Inputs, usize) + 'static) -> Self {
            Self { name: name.into(), run: Box::new(run), times: Default::default() }
        }

        fn measure(&mut self, inputs: &Inputs) {
            for (size, times) in SIZES.into_iter().zip(&mut self.times) {
                // As many multiplications for each size.
                let start = Instant::now();
                for _ in 0..LARGEST / size {
                    (self.run)(inputs, size);
                }
                #[expect(clippy::cast_precision_loss, reason = "nanoseconds are few")]
                times.push(start.elapsed().as_nanos() as f64 / LARGEST as f64);
            }
        }

        fn medians(&self) -> [f64; SIZES.len()] {
            self.times.each_ref().map(|times| {
                let mut times = times.clone();
                times.sort_by(f64::total_cmp);
                times[times.len() / 2]
            })
        }
    }

    pub(super) fn main() {
        let mut rng = ChaCha20Rng::seed_from_u64(64);
        let mut draw = || {
            let mut bytes = [0; 32];
            rng.fill_bytes(&mut bytes);
            bytes
        };
        let scalars: Vec<_> = (0..LARGEST).map(|_| draw()).collect();
        let points: Vec<_> = (0..LARGEST).map(|_| X25519::new().multiply_base(&draw())).collect();
        let inputs = Inputs { scalars, points };

        let mut libraries = libraries();
        let machine: Vec<_> = Backend::ALL.into_iter().filter_map(X25519::with_backend).collect();
        let mut backends: Vec<_> = machine.iter().map(|x25519| multiplication(*x25519)).collect();
        let mut classes: Vec<_> = machine.iter().map(|x25519| classification(*x25519)).collect();
        for _ in 0..ROUNDS {
            for row in libraries.iter_mut().chain(&mut backends).chain(&mut classes) {
                row.measure(&inputs);
            }
        }

        let arguments: Vec<_> = std::env::args().collect();
        if let Some(place) = arguments.iter().position(|argument| argument == "--plot") {
            let file = arguments.get(place + 1).expect("--plot FILE");
            std::fs::write(file, picture(&libraries, &backends)).expect("a file that can be written");
        }
        table("X25519, one by one", &libraries);
        table("X25519, side by side", &backends);
        table("canonical and of prime order", &classes);
        let best = |rows: &[Row]| rows.iter().map(|row| row.medians()[SIZES.len() - 1]).fold(f64::INFINITY, f64::min);
        println!("ratio {:.2}", best(&libraries) / best(&backends));
    }

    /// Draws the rates in batches of 64.
    fn picture(libraries: &[Row], backends: &[Row]) -> String {
        let rows = libraries.iter().zip(std::iter::repeat(true)).chain(backends.iter().zip(std::iter::repeat(false)));
        let bars =
            rows.map(|(row, is_other)| Bar { name: &row.name, value: 1e6 / row.medians()[SIZES.len() - 1], is_other });
        let subtitle = "thousands of X25519 a second on one core, in batches of 64";
        BarChart { title: "X25519, one by one and side by side", subtitle, bars: bars.collect() }.to_svg()
    }

    /// None of them knows batches: they are called as often as needed.
    fn libraries() -> Vec<Row> {
        let mut rows = vec![
            Row::new("x25519-dalek", |inputs, size| {
                for (scalar, point) in inputs.scalars.iter().zip(&inputs.points).take(size) {
                    black_box(x25519_dalek::x25519(*scalar, *point));
                }
            }),
            Row::new("aws-lc-rs", |inputs, size| {
                for (scalar, point) in inputs.scalars.iter().zip(&inputs.points).take(size) {
                    let scalar = PrivateKey::from_private_key(&agreement::X25519, scalar).expect("32 bytes are a key");
                    let point = UnparsedPublicKey::new(&agreement::X25519, point);
                    agreement::agree(&scalar, point, (), |product| {
                        black_box(product);
                        Ok(())
                    })
                    .expect("the points have prime order");
                }
            }),
        ];
        if X25519::with_backend(Backend::Graviola).is_some() {
            rows.push(Row::new("graviola", |inputs, size| {
                for (scalar, point) in inputs.scalars.iter().zip(&inputs.points).take(size) {
                    let scalar = StaticPrivateKey::from_array(scalar);
                    black_box(scalar.diffie_hellman(&PublicKey::from_array(point)).is_ok());
                }
            }));
        }
        rows
    }

    fn multiplication(x25519: X25519) -> Row {
        let mut products = vec![Product::default(); LARGEST];
        Row::new(format!("x25519-batch {:?}", x25519.batch_backend()), move |inputs, size| {
            let (scalars, points) = (&inputs.scalars[..size], &inputs.points[..size]);
            x25519.multiply_pairs(scalars, points, &mut products[..size]).expect("all slices have one length");
            black_box(&products);
        })
    }

    fn classification(x25519: X25519) -> Row {
        let mut classes = vec![PointClass::Alias; LARGEST];
        Row::new(format!("x25519-batch {:?}", x25519.batch_backend()), move |inputs, size| {
            x25519.classify_points(&inputs.points[..size], &mut classes[..size]).expect("both slices have one length");
            black_box(&classes);
        })
    }

    fn table(title: &str, rows: &[Row]) {
        print!("{title:32}");
        for size in SIZES {
            print!("{size:>9}");
        }
        println!("   in a batch, ns each");
        for row in rows {
            print!("{:32}", row.name);
            for median in row.medians() {
                print!("{median:>9.0}");
            }
            println!();
        }
        println!();
    }
}
