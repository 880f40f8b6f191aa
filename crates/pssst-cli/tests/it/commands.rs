//! One text file for every behaviour of the command line, in `tests/cmd/`: what is typed, what
//! comes out, how it ends.

#[test]
fn commands() {
    trycmd::TestCases::new().case("tests/cmd/*.trycmd");
}
