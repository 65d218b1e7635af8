package mysession

import (
	"errors"
	"strings"
	"testing"

	"github.com/pgmove/pgmove/stream"
)

func TestParse(t *testing.T) {
	t.Setenv("MYSQL_PWD", "from env")
	for _, c := range []struct {
		in, name, user, password string
		mode                     tlsMode
	}{
		{"mysql://u@h/db", "h:3306/db", "u", "from env", prefer},
		{"mariadb://u:pw@h:6000/db?sslmode=require", "h:6000/db", "u", "pw", require},
		{"MySQL://u:pw@h/db?ssl-mode=VERIFY_CA", "h:3306/db", "u", "pw", verifyCA},
		{"mysql://u:p%40%3A%2F%3Fw%23@h/db?tls=disabled", "h:3306/db", "u", "p@:/?w#", disable},
		{"mysql://u@h/d%20b?password=p+w&connect_timeout=3", "h:3306/d b", "u", "p w", prefer},
		{"mysql://u%40x:pw@[::1]:6000/db", "[::1]:6000/db", "u@x", "pw", prefer},
		{"mysql://u:pw@/db?socket=/run/s.sock", "/run/s.sock/db", "u", "pw", disable},
		{"mysql://u:pw@h/db?sslmode=verify-full", "h:3306/db", "u", "pw", verifyFull},
		{"mysql://u:pw@h/a.b%60c", "h:3306/a.b`c", "u", "pw", prefer},
	} {
		conn, err := Parse(c.in)
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		if conn.Name() != c.name || conn.User() != c.user || conn.password != c.password || conn.mode != c.mode {
			t.Errorf("%s: name %q, user %q, password %q, mode %d", c.in, conn.Name(), conn.User(), conn.password, conn.mode)
		}
		if conn.TLS() != (conn.tls != nil) || conn.Verified() != (conn.mode >= verifyCA) || conn.Verified() && conn.mode == verifyFull && conn.tls.InsecureSkipVerify {
			t.Errorf("%s: TLS %+v", c.in, conn.tls)
		}
	}
}

// notConnStrings are none, each with a secret.
var notConnStrings = []string{
	"mysql://u:SECRET@h:port/db", "mysql://u:SECRET@h:99999/db", "mysql://u:x/SECRET@h/db", "mysql://u:12/SECRET@h/db", "mysql://u:SECRET%zz@h/db",
	"mysql://u:SECRET h/db", "mysql://u:SECRET", "mysql://u:SECRET@h", "mysql://u:SECRET@h/", "mysql://u:SECRET#x@h/db", "mysql://u:x#SECRET@h/db",
	"mysql://u:x?SECRET@h/db", "mysql://u:SECRET@h/db?sslmode=x", "mysql://u@h/db?password=SECRET&sslmode=nonsense", "mysql://u@h/db?password=SEC@RET&x=SECRET",
	"postgres://u:SECRET@h/db", "u:SECRET@tcp(h)/db", "mysql:u:SECRET@h/db", "mysql://u:SECRET@h/db?ssl-ca=/no/such/file", "mysql://u:SECRET@h/db?sslmode=require&sslrootcert=x",
	"mysql://u:SECRET@h/db?sslcert=a", "mysql://u@h/db?SECRET", "mysql://u@h/db?password=SECRET;x=1", "mysql://u@h/db?password=SECRET&password=SECRET", "mysql://u:SECRET@h/db?connect_timeout=x",
	"mysql://u:SECRET@h/db#", "",
}

// TestPasswordNeverShown: whatever is wrong with a string, its password is in no error.
func TestPasswordNeverShown(t *testing.T) {
	for _, in := range notConnStrings {
		_, err := Parse(in)
		if stream.KindOf(err) != stream.Usage {
			t.Errorf("%s: %v", in, err)
			continue
		}
		var f *stream.Failure
		if errors.As(err, &f); f.Hint == "" || strings.Contains(err.Error()+f.Hint, "SECRET") {
			t.Errorf("%s: the error shows the password, or has no hint: %v", in, err)
		}
	}
}

// FuzzParse: no string breaks the parser, what is wrong with one is a matter of usage, and no password shows.
func FuzzParse(f *testing.F) {
	for _, s := range notConnStrings {
		f.Add(s)
	}
	f.Add("mysql://u:pw@h:3306/db?sslmode=prefer&connect_timeout=5")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := Parse(s)
		if err != nil {
			if stream.KindOf(err) != stream.Usage {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		if c.Database() == "" || c.port < 1 || c.port > 65535 || c.TLS() != (c.tls != nil) {
			t.Errorf("%q: %+v", s, c)
		}
		if p := c.password; len(p) > 8 && !strings.Contains(c.host+c.database+c.socket, p) && strings.Contains(c.Name(), p) {
			t.Errorf("%q: its name shows the password", s)
		}
	})
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{"a": "`a`", "a`b": "`a``b`", "": "``", "a.b": "`a.b`"} {
		if got := Ident(in); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
	for in, want := range map[string]string{"a'b": "'a''b'", `a\`: "_utf8mb4 X'615c'", "é": "'é'", "\n": "_utf8mb4 X'0a'"} {
		if got := Literal(in); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
	if got := LoadFrom(LoadStmt("t`", []string{"`a`"}, nil), "Reader::x"); !strings.HasPrefix(got, "LOAD DATA LOCAL INFILE 'Reader::x' INTO TABLE `t``` CHARACTER SET binary ") {
		t.Error(got)
	}
	if LoadFrom("DROP TABLE t", "x") != "" {
		t.Error("a statement that is no load is taken for one")
	}
}

func TestVersion(t *testing.T) {
	for in, want := range map[string]Version{
		"10.11.19-MariaDB-0+deb12u1-log": {true, 10110019, "10.11.19-MariaDB-0+deb12u1-log"},
		"5.5.5-10.6.3-MariaDB":           {true, 10060003, "10.6.3-MariaDB"},
		"8.4.2":                          {false, 8040002, "8.4.2"},
		"9.7.0-er2":                      {false, 9070000, "9.7.0-er2"},
	} {
		if got, err := parseVersion(in); err != nil || got != want {
			t.Errorf("%s: %+v (%v)", in, got, err)
		}
	}
	if _, err := parseVersion("x"); err == nil {
		t.Error("x is a version")
	}
}
