package pgsession

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/pgmove/pgmove/stream"
)

// read returns what a program would find behind its n-th descriptor.
func read(t *testing.T, f *os.File) string {
	t.Helper()
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestTool: a password is in no argument and no variable of a program, and nor is anything else's.
func TestTool(t *testing.T) {
	noSettings(t)
	t.Setenv("PGPASSWORD", "ENV-SECRET")
	t.Setenv("PGMOVE_TARGET", "postgres://u:OTHER-SECRET@t/db")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "AWS-SECRET")
	t.Setenv("PGSSLROOTCERT", "")
	for _, c := range []struct{ in, tool, file string }{
		{`postgres://u:a:b\c@h/db`, "postgres://u@h/db?passfile=%2Fproc%2Fself%2Ffd%2F3", `*:*:*:*:a\:b\\c` + "\n"},
		{"postgres://u@h/db?sslmode=disable", "postgres://u@h/db?sslmode=disable&passfile=%2Fproc%2Fself%2Ffd%2F3", "*:*:*:*:ENV-SECRET\n"},
		{"host=h user=u passfile=/x password='p w'", "host=h user=u passfile='/proc/self/fd/3'", "*:*:*:*:p w\n"},
	} {
		tool, err := mustParse(t, c.in).Tool(17)
		if err != nil {
			t.Fatal(err)
		}
		if tool.DBName != c.tool || len(tool.Files) != 1 || read(t, tool.Files[0]) != c.file {
			t.Errorf("%s: %s, %d files", c.in, tool.DBName, len(tool.Files))
		}
		if st, err := tool.Files[0].Stat(); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("the password's file: %v %v", st.Mode(), err)
		}
		if env := strings.Join(tool.Env, "\n"); strings.Contains(env, "SECRET") || strings.Contains(env, "p w") || !strings.Contains(env, "PATH=") {
			t.Errorf("%s: the environment:\n%s", c.in, env)
		}
		tool.Close()
	}
	// What a password file can't hold.
	for _, c := range []struct {
		password string
		major    int
	}{{"a%0Ab", 17}, {strings.Repeat("x", 400), 12}} {
		tool, err := mustParse(t, "postgres://u:"+c.password+"@h/db").Tool(c.major)
		if err != nil || len(tool.Files) != 0 || !strings.Contains(strings.Join(tool.Env, "\n"), "\nPGPASSWORD="+unescaped(c.password)) {
			t.Errorf("%s: %v", c.password, err)
		}
	}
	tool, err := mustParse(t, "postgres://u@h/db?sslpassword=KEY%26SECRET&password=").Tool(17)
	if err != nil || read(t, tool.Files[0]) != "[pgmove]\nsslpassword=KEY&SECRET\n" || !strings.Contains(tool.DBName, "service=pgmove") || strings.Contains(tool.DBName, "KEY") {
		t.Errorf("sslpassword: %v, %s", err, tool.DBName)
	}
	tool.Close()
	if _, err := mustParse(t, "postgres://u@h/db?sslrootcert=system").Tool(15); stream.KindOf(err) != stream.Preflight {
		t.Errorf("sslrootcert=system and pg_dump 15: %v", err)
	}
}

// TestVariables: what would make pg_dump's connection another than ours is refused, in the environment too.
func TestVariables(t *testing.T) {
	noSettings(t)
	for k, v := range map[string]string{"PGHOSTADDR": "127.0.0.1", "PGREQUIREPEER": "postgres", "PGSSLCRL": "x", "PGSSLCRLDIR": "x",
		"PGSSLMAXPROTOCOLVERSION": "TLSv1.2", "PGSSLMINPROTOCOLVERSION": "TLSv1.3", "PGGSSENCMODE": "require"} {
		t.Setenv(k, v)
		if _, err := Parse("postgres://u@h/db"); stream.KindOf(err) != stream.Usage || !strings.Contains(err.Error(), k) {
			t.Errorf("%s: %v", k, err)
		}
		t.Setenv(k, "")
	}
	t.Setenv("PGSSLMINPROTOCOLVERSION", "TLSv1.2")
	t.Setenv("PGGSSENCMODE", "prefer")
	mustParse(t, "postgres://u@h/db?gssencmode=disable")
	for _, s := range []string{"postgres://u@h/db?gssencmode=require", "host=h hostaddr=1.2.3.4"} {
		if _, err := Parse(s); stream.KindOf(err) != stream.Usage {
			t.Errorf("%s: %v", s, err)
		}
	}
}

// TestSecurity: what a string asks for, and whether that is worth a warning.
func TestSecurity(t *testing.T) {
	noSettings(t)
	for _, c := range []struct {
		in, mode string
		local    bool
		tls      string
		weak     string
	}{
		{"postgres://u@h/db", "prefer", false, "", "not encrypted"},
		{"postgres://u@h/db", "prefer", false, "TLS 1.3", "certificate is not checked"},
		{"postgres://u@h/db?sslmode=allow", "allow", false, "", "not encrypted"},
		{"postgres://u@h/db?sslmode=disable", "disable", false, "", "not encrypted"},
		{"postgres://u@h/db?sslmode=require", "require", false, "TLS 1.3", "certificate is not checked"},
		{"postgres://u@h/db?sslmode=verify-ca", "verify-ca", false, "TLS 1.3", "name is not checked"},
		{"postgres://u@h/db?sslmode=verify-full", "verify-full", false, "TLS 1.3", ""},
		{"postgres://u@h/db?sslrootcert=system&sslmode=require", "verify-full", false, "TLS 1.3", ""},
		{"postgres://u@127.0.0.1/db?sslmode=disable", "disable", true, "", ""},
		{"postgres://u@[::1]/db", "prefer", true, "", ""},
		{"postgres://u@localhost,h2/db?sslmode=disable", "disable", false, "", "not encrypted"},
		{"host=/tmp user=u", "socket", true, "", ""},
	} {
		conn := mustParse(t, c.in)
		conn.seen.Store(&c.tls)
		s := conn.Security()
		if s.Mode != c.mode || s.Local != c.local || !s.Tried || s.TLS != c.tls {
			t.Errorf("%s: %+v", c.in, s)
		}
		if w := s.Weakness(); (w == "") != (c.weak == "") || !strings.Contains(w, c.weak) {
			t.Errorf("%s: %q", c.in, w)
		}
	}
}
