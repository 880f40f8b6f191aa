//! Asks the kernel what the CPU has, so that a slip in our own questions shows.
//! `scripts/check-cpus` takes single features away.

use x25519_batch::{Backend, X25519};

#[test]
fn the_backends_are_the_best_that_the_cpu_allows() {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags")).unwrap();
    let has = |features: &[&str]| features.iter().all(|feature| flags.split_whitespace().any(|flag| flag == *feature));

    let has_graviola = cfg!(feature = "std") && has(&["adx", "aes", "avx", "avx2", "bmi1", "bmi2", "pclmulqdq"]);
    let single = if has_graviola { Backend::Graviola } else { Backend::Dalek };
    let (has_avx2, has_ifma) = (has(&["avx2"]), has(&["avx512f", "avx512dq", "avx512ifma"]));
    let batch = match (has_ifma, has_avx2) {
        (true, _) => Backend::Ifma,
        (false, true) => Backend::Avx2,
        (false, false) => single,
    };
    let x25519 = X25519::new();
    println!("{:?}, in batches {:?}", x25519.single_backend(), x25519.batch_backend());
    assert_eq!((x25519.single_backend(), x25519.batch_backend()), (single, batch));

    let available = Backend::ALL.map(|backend| X25519::with_backend(backend).is_some());
    assert_eq!(available, [true, has_graviola, has_avx2, has_ifma]);
    for backend in Backend::ALL {
        if let Some(x25519) = X25519::with_backend(backend) {
            assert_eq!(x25519.batch_backend(), backend);
            assert_eq!(x25519.single_backend(), if backend == Backend::Dalek { backend } else { single });
        }
    }
}
