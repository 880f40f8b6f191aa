# Homebrew's formula of the programs for Linux. deploy/release/build fills in what is between @.
class Pssst < Formula
  desc "Packet security for stateless server transactions over UDP"
  homepage "@BASE_URL@"
  version "@VERSION@"
  license any_of: ["MIT", "Apache-2.0"]

  depends_on :linux

  on_intel do
    url "@BASE_URL@/pssst-@VERSION@-x86_64-unknown-linux-musl.tar.gz"
    sha256 "@SUM_X86_64@"
  end

  on_arm do
    url "@BASE_URL@/pssst-@VERSION@-aarch64-unknown-linux-musl.tar.gz"
    sha256 "@SUM_AARCH64@"
  end

  def install
    bin.install "bin/pssst"
    man1.install Dir["share/man/man1/*"]
    man5.install Dir["share/man/man5/*"]
    bash_completion.install "share/bash-completion/completions/pssst"
    zsh_completion.install "share/zsh/site-functions/_pssst"
    fish_completion.install "share/fish/vendor_completions.d/pssst.fish"
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/pssst --version")
  end
end
