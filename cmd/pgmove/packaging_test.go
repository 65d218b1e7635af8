package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
)

// TestManual: the manual page in docs is the one that pgmove prints.
func TestManual(t *testing.T) {
	t.Setenv("PGMOVE_SOURCE", "postgres://u:CANARY@h/db")
	code, page, errs := pgmove(t, "man")
	if code != 0 || errs != "" {
		t.Fatalf("%d: %s", code, errs)
	}
	there, err := os.ReadFile("../../docs/pgmove.1")
	if err != nil {
		t.Fatal(err)
	}
	if string(there) != page {
		t.Error("docs/pgmove.1 is stale: make man")
	}
	for _, w := range []string{".TH PGMOVE 1", `.SS pgmove run`, `\fB\-\-source\-file\fR \fIFILE\fR`, ".B 130\n", ".B PGMOVE_TARGET_FILE\n"} {
		if !strings.Contains(page, w) {
			t.Errorf("the page lacks %q", w)
		}
	}
	if strings.Contains(page, "CANARY") {
		t.Error("the manual page shows a variable's value")
	}
	for i, l := range strings.Split(page, "\n") {
		if strings.ContainsAny(l, "`\t") || strings.HasSuffix(l, "..") && !strings.Contains(l, "...") {
			t.Errorf("line %d: %s", i+1, l)
		}
	}
}

// shell returns a shell's program. What CI needs, make tools installs.
func shell(t *testing.T, name string) string {
	t.Helper()
	file, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed: make tools", name)
	}
	return file
}

// TestCompletion has the shells themselves complete lines.
func TestCompletion(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"bash", "zsh", "fish"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(mustExit(t, 0, "completion", name)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	wantText(t, mustExit(t, 3, "completion"), "bash, zsh or fish")
	wantText(t, mustExit(t, 3, "completion", "tcsh"), "bash, zsh or fish")
	run := func(t *testing.T, program string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	t.Run("bash", func(t *testing.T) {
		bash := shell(t, "bash")
		for _, c := range []struct{ line, want string }{
			{"ru", "run"}, {"run --valid", "--validate"}, {"run --validate c", "count"}, {"completion f", "fish"}, {"restore --wait-s", "--wait-silence"},
			{"run --source $(touch,evil) --source-auth r", "rds-iam"}, {"dump --wait", ""}, {"--ver", "--version"},
		} {
			got := run(t, bash, "--norc", "-c", `. ./bash; COMP_WORDS=(pgmove "$@"); COMP_CWORD=$#; _pgmove; echo "${COMPREPLY[*]}"`,
				"x", strings.Fields(c.line)[0], strings.Join(strings.Fields(c.line)[1:], " "))
			if n := len(strings.Fields(c.line)); n != 2 {
				args := append([]string{"--norc", "-c", `. ./bash; COMP_WORDS=(pgmove "$@"); COMP_CWORD=$#; _pgmove; echo "${COMPREPLY[*]}"`, "x"}, strings.Fields(c.line)...)
				got = run(t, bash, args...)
			}
			if strings.TrimSpace(got) != c.want {
				t.Errorf("pgmove %s: %q, want %q", c.line, got, c.want)
			}
		}
		if _, err := os.Stat(filepath.Join(dir, "evil")); err == nil {
			t.Error("what was typed was run")
		}
	})
	t.Run("zsh", func(t *testing.T) {
		const script = `zmodload zsh/zpty
zpty z zsh -f
zpty -w z "PS1=''; stty -echo; autoload -Uz compinit; compinit -D; . ./zsh; print RE''ADY"
zpty -r z out '*READY*'
zpty -n -w z "$1"$'\t'$'\x05;#DO\NE\r'
zpty -r z out '*DO*'
print -r -- "$out"
zpty -d z`
		zsh := shell(t, "zsh")
		for _, c := range []struct{ line, want string }{
			{"pgmove validat", "pgmove validate"}, {"pgmove run --validate co", "--validate count"}, {"pgmove restore --wait-s", "--wait-silence"}, {"pgmove completion fi", "completion fish"},
		} {
			// Without what moves the cursor about and rings.
			if got := strings.ReplaceAll(run(t, zsh, "-f", "-c", script, "x", c.line), "\a", ""); !strings.Contains(got, c.want) {
				t.Errorf("%s: %q, want %q", c.line, got, c.want)
			}
		}
	})
	t.Run("fish", func(t *testing.T) {
		fish := shell(t, "fish")
		for _, c := range []struct{ line, want string }{
			{"pgmove ru", "run\tmove"}, {"pgmove run --valid", "--validate\t"}, {"pgmove run --validate c", "count"}, {"pgmove completion z", "zsh"}, {"pgmove restore --wait-s", "--wait-silence"},
		} {
			if got := run(t, fish, "--no-config", "-c", "source ./fish; complete -C '"+c.line+"'"); !strings.Contains(got, c.want) {
				t.Errorf("%s: %q, want %q", c.line, got, c.want)
			}
		}
	})
}

// TestVersion: --version says what was built, from what, when and by which Go.
func TestVersion(t *testing.T) {
	out := mustExit(t, 0, "--version")
	wantText(t, out, "pgmove version ", "go1.", "/")
	info := &debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.time", Value: "2026-11-21T10:00:00Z"}, {Key: "vcs.modified", Value: "true"}}}
	info.Main.Version = "v1.2.3"
	for _, c := range [][6]string{
		{"dev", "", "", "v1.2.3", "abc, changed", "2026-11-21T10:00:00Z"},
		{"v2", "def", "yesterday", "v2", "def", "yesterday"},
		{"dev", "", "today", "v1.2.3", "abc, changed", "today"},
	} {
		if v, commit, date := built(info, c[0], c[1], c[2]); v != c[3] || commit != c[4] || date != c[5] {
			t.Errorf("built(%q) = %q %q %q", c[:3], v, commit, date)
		}
	}
	if v, _, _ := built(&debug.BuildInfo{}, "dev", "", ""); v != "dev" {
		t.Errorf("of nothing: %s", v)
	}
}
