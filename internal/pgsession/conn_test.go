package pgsession

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgmove/pgmove/stream"
)

// noSettings keeps the tests from the machine's own settings.
func noSettings(t testing.TB) {
	t.Helper()
	for _, kv := range os.Environ() {
		if k, _, _ := strings.Cut(kv, "="); strings.HasPrefix(k, "PG") {
			t.Setenv(k, "")
		}
	}
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("PGPASSFILE", filepath.Join(dir, "no-pgpass"))
	t.Setenv("PGSERVICEFILE", filepath.Join(dir, "no-services"))
}

func mustParse(t *testing.T, s string) *Conn {
	t.Helper()
	c, err := Parse(s)
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return c
}

func TestParse(t *testing.T) {
	noSettings(t)
	for _, c := range []struct{ in, name, user, password, tool string }{
		{"postgres://u@h/db", "h:5432/db", "u", "", "postgres://u@h/db"},
		{"postgresql://u:pw@h:6000/db?sslmode=require", "h:6000/db", "u", "pw", "postgresql://u@h:6000/db?sslmode=require"},
		{"postgres://u:p%40%3A%2F%3Fw@h/db", "h:5432/db", "u", "p@:/?w", "postgres://u@h/db"},
		{"postgres://u@h/db?password=pw%20x&sslmode=disable", "h:5432/db", "u", "pw x", "postgres://u@h/db?sslmode=disable"},
		{"postgres://u@h/db?pass%77ord=pw", "h:5432/db", "u", "pw", "postgres://u@h/db"},
		{"postgres://u:pw@h/db?application_name=a%40b", "h:5432/db", "u", "pw", "postgres://u@h/db?application_name=a%40b"},
		{"postgres://u:pw@h/db?application_name=a@b", "h:5432/db", "u", "pw", "postgres://u@h/db?application_name=a@b"},
		{"postgres://u:p?w@h/db", "h:5432/db", "u", "p?w", "postgres://u@h/db"},
		{"postgres://u:p#[:w@h/db?sslmode=disable", "h:5432/db", "u", "p#[:w", "postgres://u@h/db?sslmode=disable"},
		{"postgres://u:pw@h/d@b", "h:5432/d@b", "u", "pw", "postgres://u@h/d@b"},
		{"postgres://:pw@h/db?user=u&password=no", "h:5432/db", "u", "no", "postgres://@h/db?user=u"},
		{"postgres://u:pw@[::1]:6000/db", "[::1]:6000/db", "u", "pw", "postgres://u@[::1]:6000/db"},
		{"postgres://u:pw@h1:6001,h2:6002/db", "h1:6001/db", "u", "pw", "postgres://u@h1:6001,h2:6002/db"},
		{"postgres://u:pw@h", "h:5432/u", "u", "pw", "postgres://u@h"},
		{"host=h port=6000 user=u password=pw dbname=db", "h:6000/db", "u", "pw", "host=h port=6000 user=u dbname=db"},
		{" host = h  user=u password = 'p w\\'x' dbname='d b' ", "h:5432/d b", "u", "p w'x", "host=h user=u dbname='d b'"},
		{"user='u'password=pw host=h", "h:5432/u", "u", "pw", "user='u' host=h"},
		{"host=h user=u application_name='a password=b' password=pw", "h:5432/u", "u", "pw", "host=h user=u application_name='a password=b'"},
		{`host=h user=u password=p\ w\'x`, "h:5432/u", "u", "p w'x", "host=h user=u"},
		{"host=h1,h2 port=6001,6002 user=u password=pw", "h1:6001/u", "u", "pw", "host=h1,h2 port=6001,6002 user=u"},
		{"host=h user=u password=", "h:5432/u", "u", "", "host=h user=u"},
	} {
		conn := mustParse(t, c.in)
		tool := conn.text
		if conn.Name() != c.name || conn.User() != c.user || conn.config.Password != c.password || tool != c.tool {
			t.Errorf("%s: name %q, user %q, password %q, tool %q", c.in, conn.Name(), conn.User(), conn.config.Password, tool)
		}
		if again := mustParse(t, tool); again.Name() != c.name || again.config.Password != "" {
			t.Errorf("%s: a tool would connect to %s", tool, again.Name())
		}
	}
	two := mustParse(t, "postgres://u:pw@h1:6001,h2:6002/db?sslmode=disable")
	if len(two.config.Fallbacks) != 1 || two.config.Fallbacks[0].Host != "h2" || two.config.Fallbacks[0].Port != 6002 {
		t.Errorf("the second host: %v", two.config.Fallbacks)
	}
}

// TestPasswordNeverShown: whatever is wrong with a string, its password is in no error.
func TestPasswordNeverShown(t *testing.T) {
	noSettings(t)
	for _, in := range []string{
		"postgres://u:SECRET@h:port/db", "postgres://u:x/SECRET@h/db", "postgres://u:12/SECRET@h/db",
		"postgres://u:SECRET%zz@h/db", "postgres://u:SECRET h/db",
		"postgres://u:SECRET", "postgres://u@h:port/db?password=SECRET", "postgres://u@h/db?sslmode=x&pass%77ord=SECRET",
		"POSTGRES://u:SECRET@h/db", "http://u:SECRET@h/db", "u:SECRET@h/db", "jdbc:postgresql://h/db?user=u&password=SECRET",
		"host=h password='SECRET", "host=h password=x SECRET dbname=db", "host=h port=x password=SECRET", "password SECRET", "host=h PASSWORD = SECRET port=x",
		"host=h password=SECRET sslmode=nonsense", "postgres://u:SECRET@h/db?sslmode=nonsense", "postgres://u:SECRET@h/db?sslcrl=x", "host=h password=SECRET sslcrl=x",
		"postgres://u:SECRET@h/db?service=none", "host=h password=SECRET service=none", "postgres://u:SECRET@h/db?connect_timeout=x",
		"postgres://u:SECRET@h/db?sslrootcert=/no/such/file&sslmode=verify-ca", "postgres://u:%53ECRET@h:port/db",
	} {
		_, err := Parse(in)
		if stream.KindOf(err) != stream.Usage {
			t.Errorf("%s: %v", in, err)
			continue
		}
		var f *stream.Failure
		if errors.As(err, &f); strings.Contains(err.Error()+f.Hint, "SECRET") || strings.Contains(err.Error()+f.Hint, "%53ECRET") {
			t.Errorf("%s: the error shows the password: %v", in, err)
		}
	}
}

// TestConnectErrors: nor is it in what a failed connection says.
func TestConnectErrors(t *testing.T) {
	noSettings(t)
	for _, in := range []string{"postgres://u:SECRET@127.0.0.1:1/db", "host=127.0.0.1 port=1 user=u password=SECRET", "postgres://u:SECRET@127.0.0.1:1,127.0.0.1:2/db"} {
		c := mustParse(t, in)
		_, err := Connect(t.Context(), c, Options{})
		if stream.KindOf(err) != stream.Outage || strings.Contains(err.Error(), "SECRET") || !strings.Contains(err.Error(), "127.0.0.1:1/") {
			t.Errorf("%s: kind %d: %v", in, stream.KindOf(err), err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Connect(ctx, mustParse(t, "postgres://u@127.0.0.1:1/db"), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("under a cancelled context: %v", err)
	}
}

func TestEnvironment(t *testing.T) {
	noSettings(t)
	t.Setenv("PGHOST", "env-host")
	t.Setenv("PGPORT", "6100")
	t.Setenv("PGUSER", "env-user")
	t.Setenv("PGPASSWORD", "env pass")
	t.Setenv("PGDATABASE", "env-db")
	for in, want := range map[string]string{"postgres://": "env-host:6100/env-db", "dbname=mine": "env-host:6100/mine", "postgres://h:1/": "h:1/env-db", "host=h": "h:6100/env-db"} {
		c := mustParse(t, in)
		if c.Name() != want || c.User() != "env-user" || c.config.Password != "env pass" {
			t.Errorf("%s: %s, user %s", in, c.Name(), c.User())
		}
	}
	if c := mustParse(t, "postgres://u:own@h/db"); c.config.Password != "own" || c.User() != "u" {
		t.Errorf("the environment replaced what the string says: %s", c.User())
	}
}

func TestFiles(t *testing.T) {
	noSettings(t)
	dir := t.TempDir()
	services, passwords := filepath.Join(dir, "services"), filepath.Join(dir, "pgpass")
	if err := os.WriteFile(services, []byte("[shop]\nhost=service-host\nport=6200\ndbname=shop\nuser=clerk\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(passwords, []byte("other:*:*:*:wrong\nservice-host:6200:shop:clerk:from\\:file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PGSERVICEFILE", services)
	t.Setenv("PGPASSFILE", passwords)
	for _, in := range []string{"service=shop", "postgres://?service=shop"} {
		c := mustParse(t, in)
		if c.Name() != "service-host:6200/shop" || c.User() != "clerk" || c.config.Password != "from:file" || c.text != in || !c.service {
			t.Errorf("%s: %s, user %s, tool %s", in, c.Name(), c.User(), c.text)
		}
	}
	if _, err := Parse("service=none"); stream.KindOf(err) != stream.Usage {
		t.Errorf("a service that is not there: %v", err)
	}
}

func TestParameters(t *testing.T) {
	noSettings(t)
	c := mustParse(t, "postgres://u@h/db?keepalives=1&tcp_user_timeout=5&gssencmode=disable&client_encoding=LATIN1&fallback_application_name=mine&work_mem=64MB")
	for _, k := range []string{"keepalives", "tcp_user_timeout", "gssencmode", "client_encoding", "fallback_application_name"} {
		if v, ok := c.config.RuntimeParams[k]; ok {
			t.Errorf("%s=%s goes to the server", k, v)
		}
	}
	if c.config.RuntimeParams["application_name"] != "mine" || c.config.RuntimeParams["work_mem"] != "64MB" {
		t.Errorf("the settings are %v", c.config.RuntimeParams)
	}
	for _, k := range []string{"sslcrl=x", "requirepeer=x", "ssl_min_protocol_version=TLSv1.3", "replication=database"} {
		if _, err := Parse("postgres://u@h/db?" + k); stream.KindOf(err) != stream.Usage || !strings.Contains(err.Error(), strings.Split(k, "=")[0]) {
			t.Errorf("%s: %v", k, err)
		}
	}
	if mustParse(t, "postgres://u@h/db?sslmode=require").config.TLSConfig == nil || mustParse(t, "postgres://u@h/db?sslmode=disable").config.TLSConfig != nil {
		t.Error("sslmode is not heeded")
	}
}

func TestQuoting(t *testing.T) {
	for in, want := range map[string]string{`a`: `'a'`, `it's`: `'it''s'`, `a\b`: `E'a\\b'`, `\'`: `E'\\'''`, ``: `''`} {
		if got := Literal(in); got != want {
			t.Errorf("Literal(%q) is %s", in, got)
		}
	}
	if got := Qualified(`a"b`, `c.d`); got != `"a""b"."c.d"` {
		t.Errorf("Qualified is %s", got)
	}
}

// FuzzParse: what parses, parses to the same without its password, and has none then.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"postgres://u:p%40w@h:5433/db?sslmode=disable&password=x", "postgres://u:p@h1:1,h2:2/db", "host=h user='u'password='p\\'w' dbname=d", "service=x", "postgres://u:p?q@h", `a=\`, "\xfa?"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		noSettings(t)
		c, err := Parse(s)
		if err != nil {
			if stream.KindOf(err) != stream.Usage {
				t.Errorf("kind %d: %v", stream.KindOf(err), err)
			}
			return
		}
		tool := c.text
		again, err := Parse(tool)
		if err != nil {
			t.Fatalf("%q became %q: %v", s, tool, err)
		}
		if again.config.Password != "" {
			t.Errorf("%q became %q, and the password is still there", s, tool)
		}
		if again.Name() != c.Name() || again.User() != c.User() || len(again.config.Fallbacks) != len(c.config.Fallbacks) {
			t.Errorf("%q became %q: %s instead of %s", s, tool, again.Name(), c.Name())
		}
	})
}
