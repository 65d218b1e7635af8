package mysession_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/internal/testbed"
	"github.com/pgmove/pgmove/stream"
)

func TestMain(m *testing.M) { testbed.Main(m) }

func connect(t *testing.T, url string, o mysession.Options) (*mysession.Session, error) {
	t.Helper()
	c, err := mysession.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	s, err := mysession.Connect(t.Context(), c, o)
	if err == nil {
		t.Cleanup(s.End)
	}
	return s, err
}

// TestConnectErrors: each kind of refusal has its exit code, and none shows the password.
func TestConnectErrors(t *testing.T) {
	m := testbed.SharedMariaDB(t, 0)
	db := testbed.MariaDatabase(t, "", m)
	for _, c := range []struct {
		url  string
		kind stream.Kind
	}{
		{"mysql://u:SECRET@127.0.0.1:1/db", stream.Outage},
		{"mysql://u:SECRET@no-such-host.invalid/db", stream.Outage},
		{"mysql://u:SECRET@/db?socket=/no/such/socket", stream.Outage},
		{m.URLAs(m.User(), "SECRET", db), stream.Denied},
		{m.URLAs("SECRET", m.Password(), db), stream.Denied},
		{m.URL("no such database"), stream.Preflight},
		{strings.Replace(m.URL(db), "tls=disabled", "sslmode=require", 1), stream.Preflight},
	} {
		_, err := connect(t, c.url, mysession.Options{})
		var f *stream.Failure
		if !errors.As(err, &f) || stream.KindOf(err) != c.kind || f.Hint == "" {
			t.Errorf("%s: kind %d: %v", c.url, stream.KindOf(err), err)
			continue
		}
		if text := err.Error() + f.Hint; strings.Contains(text, m.Password()) || strings.Contains(text, "SECRET") && !strings.Contains(c.url, "//SECRET") {
			t.Errorf("%s: the error shows the password: %s", c.url, text)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c, err := mysession.Parse("mysql://u@127.0.0.1:1/db")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mysession.Connect(ctx, c, mysession.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("under a cancelled context: %v", err)
	}
}

// TestPinned: a session is what it is pinned to, whatever the server is set to; what fails on it is explained.
func TestPinned(t *testing.T) {
	m := testbed.OwnMariaDB(t, testbed.MariaDBOptions{Settings: map[string]string{
		"sql-mode": "ANSI,ORACLE,PAD_CHAR_TO_FULL_LENGTH,NO_ZERO_DATE", "default-time-zone": "+05:00", "wait-timeout": "5", "net-write-timeout": "1",
		"max-statement-time": "0.2", "sql-safe-updates": "1", "character-set-server": "latin1", "collation-server": "latin1_swedish_ci", "autocommit": "0", "transaction-isolation": "SERIALIZABLE"}})
	db := testbed.MariaDatabase(t, "", m)
	for role, mode := range map[mysession.Role]string{mysession.Read: "ALLOW_INVALID_DATES", mysession.Load: mysession.LoadMode} {
		s, err := connect(t, m.URL(db), mysession.Options{Role: role})
		if err != nil {
			t.Fatal(err)
		}
		row, err := s.Row(t.Context(), "SELECT @@time_zone, @@autocommit, @@wait_timeout > 100000, @@max_statement_time = 0, @@sql_safe_updates, @@character_set_client, @@tx_isolation, SLEEP(0.3)")
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(row, " "); got != "+00:00 1 1 1 0 utf8mb4 REPEATABLE-READ 0" {
			t.Errorf("the session is %s", got)
		}
		got, err := s.Row(t.Context(), "SELECT @@sql_mode")
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range strings.Split(mode, ",") {
			if !strings.Contains(","+got[0]+",", ","+want+",") {
				t.Errorf("sql_mode is %s, without %s", got[0], want)
			}
		}
		if strings.Contains(got[0], "ANSI") || strings.Contains(got[0], "NO_ZERO") || s.Version.Name() == "" || !s.Version.MariaDB {
			t.Errorf("sql_mode is %s on %s", got[0], s.Version.Name())
		}
		err = s.Do(t.Context(), "SELECT * FROM no_such_table")
		if mysession.Code(err) != mysession.ErrNoSuchTable || !strings.Contains(mysession.Explain(err, "x").Error(), "error 1146") {
			t.Errorf("a missing table: %v", mysession.Explain(err, "x"))
		}
		s.Cut()
		if err := s.Do(t.Context(), "DO 1"); !mysession.Lost(err) || stream.KindOf(mysession.Explain(err, "x")) != stream.Outage {
			t.Errorf("a connection that was cut: %v", err)
		}
	}
}

// authority is a certificate's issuer; the zero value issues its own.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue writes a certificate and its key, for 127.0.0.1 or for a host of another name.
func (a *authority) issue(t *testing.T, dir, name string, ca bool, host string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: ca, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	if ip := net.ParseIP(host); ip != nil {
		tmpl.IPAddresses = []net.IP{ip}
	} else if host != "" {
		tmpl.DNSNames = []string{host}
	}
	parent, signer := tmpl, key
	if a.cert != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: keyDER}} {
		// The server, which is another user, reads the keys of these tests.
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key}
}

// TestTLS: what must be proven is: a wrong name and a wrong issuer are refused.
func TestTLS(t *testing.T) {
	dir, err := os.MkdirTemp("", "mysession-tls-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	ca := (&authority{}).issue(t, dir, "ca", true, "")
	(&authority{}).issue(t, dir, "strange-ca", true, "")
	ca.issue(t, dir, "server", false, "127.0.0.1")
	ca.issue(t, dir, "elsewhere", false, "db.example.com")
	for _, c := range []struct {
		server, mode, ca string
		kind             stream.Kind
	}{
		{"server", "verify-full", "ca", 0}, {"server", "verify-ca", "ca", 0}, {"server", "require", "", 0}, {"server", "prefer", "", 0},
		{"server", "verify-full", "strange-ca", stream.Denied}, {"server", "verify-ca", "strange-ca", stream.Denied}, {"server", "verify-full", "", stream.Denied},
		{"elsewhere", "verify-full", "ca", stream.Denied}, {"elsewhere", "verify-ca", "ca", 0},
	} {
		m := tlsServer(t, dir, c.server)
		u, err := url.Parse(m.URL("mysql"))
		if err != nil {
			t.Fatal(err)
		}
		q := url.Values{"sslmode": {c.mode}}
		if c.ca != "" {
			q.Set("sslrootcert", filepath.Join(dir, c.ca+".pem"))
		}
		u.RawQuery = q.Encode()
		conn, err := mysession.Parse(u.String())
		if err != nil {
			t.Fatal(err)
		}
		s, err := mysession.Connect(t.Context(), conn, mysession.Options{})
		if c.kind != 0 {
			if stream.KindOf(err) != c.kind {
				t.Errorf("%+v: kind %d: %v", c, stream.KindOf(err), err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		row, err := s.Row(t.Context(), "SHOW STATUS LIKE 'Ssl_cipher'")
		if err != nil || row[1] == "" {
			t.Errorf("%+v: not encrypted: %q (%v)", c, row, err)
		}
		s.End()
		if got := conn.Security(); got.Mode != c.mode || !strings.HasPrefix(got.TLS, "TLS 1.") || !got.Local || !got.Tried {
			t.Errorf("%+v: %+v", c, got)
		}
	}
}

var tlsServers = map[string]*testbed.MariaDB{}

func tlsServer(t *testing.T, dir, name string) *testbed.MariaDB {
	t.Helper()
	if tlsServers[name] == nil {
		tlsServers[name] = testbed.OwnMariaDB(t, testbed.MariaDBOptions{Settings: map[string]string{
			"ssl-cert": filepath.Join(dir, name+".pem"), "ssl-key": filepath.Join(dir, name+".key"), "ssl-ca": filepath.Join(dir, "ca.pem")}})
	}
	return tlsServers[name]
}
