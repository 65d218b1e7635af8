package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/internal/testbed"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key, file: filepath.Join(t.TempDir(), name+".crt")}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		t.Fatal(err)
	}
	return a
}

// issue returns a certificate and its key, encrypted where there is a password, in PEM.
func (a *authority) issue(t *testing.T, name, password string) (cert, key []byte) {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, &k.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(k)}
	if password != "" {
		//nolint:staticcheck // the one form that both pgx and libpq read
		if block, err = x509.EncryptPEMBlock(rand.Reader, block.Type, block.Bytes, []byte(password), x509.PEMCipherAES256); err != nil {
			t.Fatal(err)
		}
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(block)
}

// encrypted is a server with TLS, whose certificate is localhost's.
func encrypted(t *testing.T, ca *authority) *testbed.Postgres {
	t.Helper()
	p := testbed.OwnPostgres(t, testbed.PostgresOptions{Settings: map[string]string{"log_connections": "on"}})
	cert, key := ca.issue(t, "localhost", "")
	st, err := os.Stat(p.DataDir())
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.ReadFile(ca.file)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"server.crt": cert, "server.key": key, "root.crt": root} {
		file := filepath.Join(p.DataDir(), name)
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if s, ok := st.Sys().(*syscall.Stat_t); ok && os.Getuid() == 0 {
			if err := os.Chown(file, int(s.Uid), int(s.Gid)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, sql := range []string{"ALTER SYSTEM SET ssl_ca_file = 'root.crt'", "ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"} {
		testbed.SQL(t, p, "postgres", sql)
	}
	for i := 0; ; i++ {
		if v, err := p.Value(t.Context(), "postgres", "SHOW ssl"); err != nil || v == "on" || i == 50 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return p
}

// TestTLS: who asks for a checked connection gets one or none, from pgmove as from the pg_dump that it runs.
func TestTLS(t *testing.T) {
	ca, other := newAuthority(t, "ca"), newAuthority(t, "other")
	p, plain := encrypted(t, ca), testbed.Shared(t, 0)
	src, dst, on := testbed.Database(t, p), testbed.Database(t, p), testbed.Database(t, plain)
	testbed.SQL(t, p, src, "CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
	testbed.SQL(t, plain, on, "CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
	bin, ok := testbed.ClientBin(testbed.DefaultMajor())
	if !ok {
		t.Fatal("no pg_dump")
	}
	archive := t.TempDir() + "/archive"
	mustExit(t, 0, "dump", "--source", plain.URL(on), "--to", archive)
	url := func(p *testbed.Postgres, host, db, params string) string {
		return fmt.Sprintf("postgres://postgres:%s@%s:%d/%s?%s", p.Password(), host, p.Port(), db, params)
	}
	for _, c := range []struct {
		name   string
		server *testbed.Postgres
		host   string
		params string
		code   int
		want   string // in the message
		mode   string
		tls    bool
	}{
		{"the right host", p, "localhost", "sslmode=verify-full&sslrootcert=" + ca.file, 0, "", "verify-full", true},
		{"another host", p, "127.0.0.1", "sslmode=verify-full&sslrootcert=" + ca.file, 12, "connect by a name", "", false},
		{"another authority", p, "localhost", "sslmode=verify-full&sslrootcert=" + other.file, 12, "sslrootcert", "", false},
		{"no authority", p, "localhost", "sslmode=verify-full", 12, "sslrootcert", "", false},
		{"the system's authorities", p, "localhost", "sslrootcert=system", 12, "sslrootcert", "", false},
		{"the authority alone", p, "127.0.0.1", "sslmode=verify-ca&sslrootcert=" + ca.file, 0, "", "verify-ca", true},
		{"another authority alone", p, "localhost", "sslmode=verify-ca&sslrootcert=" + other.file, 12, "sslrootcert", "", false},
		{"require with an authority is checked", p, "localhost", "sslmode=require&sslrootcert=" + other.file, 12, "sslrootcert", "", false},
		{"require", p, "127.0.0.1", "sslmode=require", 0, "", "require", true},
		{"prefer", p, "127.0.0.1", "", 0, "", "prefer", true},
		{"disable", p, "127.0.0.1", "sslmode=disable", 0, "", "disable", false},
		{"a server without TLS", plain, "localhost", "sslmode=require", 12, "has no TLS", "", false},
		{"a server without TLS, checked", plain, "localhost", "sslmode=verify-full&sslrootcert=" + ca.file, 12, "has no TLS", "", false},
		{"a server without TLS, prefer", plain, "localhost", "sslmode=prefer", 0, "", "prefer", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := src
			if c.server == plain {
				db = on
			}
			from := url(c.server, c.host, db, c.params)
			report := filepath.Join(t.TempDir(), "report.json")
			logged := len(p.Log())
			wantText(t, mustExit(t, c.code, "dump", "--source", from, "--to", t.TempDir()+"/a", "--report", report), c.want)
			var r struct{ Connections []ConnectionReport }
			b, err := os.ReadFile(report)
			if err == nil {
				err = json.Unmarshal(b, &r)
			}
			if err != nil {
				t.Fatal(err)
			}
			if c.code == 0 && (len(r.Connections) != 1 || r.Connections[0].Mode != c.mode || (r.Connections[0].TLS != "") != c.tls || !r.Connections[0].Local) {
				t.Errorf("the report says %+v", r.Connections)
			}
			for _, l := range strings.Split(p.Log()[logged:], "\n") {
				if strings.Contains(l, "connection authorized: ") && strings.Contains(l, "database="+src) && strings.Contains(l, "SSL enabled") != c.tls {
					t.Errorf("a session is not as safe as it should be: %s", l)
				}
			}
			// And pg_dump by itself, with what it is started with.
			conn, err := pgsession.Parse(from)
			if err != nil {
				t.Fatal(err)
			}
			tool, err := conn.Tool(testbed.DefaultMajor())
			if err != nil {
				if c.code == 0 {
					t.Error(err)
				}
				return
			}
			defer tool.Close()
			cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "pg_dump"), "--schema-only", "--no-password", "--dbname="+tool.DBName)
			cmd.Env, cmd.ExtraFiles = tool.Env, tool.Files
			if out, err := cmd.CombinedOutput(); (err == nil) != (c.code == 0) {
				t.Errorf("pg_dump by itself: %v\n%.500s", err, out)
			}
			if c.server != p {
				return
			}
			out := mustExit(t, c.code, "restore", "--from", archive, "--target", url(p, c.host, testbed.Database(t, p), c.params))
			wantText(t, out, c.want)
		})
	}
	t.Setenv("PGSSLMODE", "verify-full")
	t.Setenv("PGSSLROOTCERT", other.file)
	wantText(t, mustExit(t, 12, "run", "--source", url(p, "localhost", src, ""), "--target", url(p, "localhost", dst, "")), "sslrootcert")
	t.Setenv("PGSSLROOTCERT", ca.file)
	mustExit(t, 0, "run", "--source", url(p, "localhost", src, ""), "--target", url(p, "localhost", dst, ""))
}

// TestEncryptedKey: a client's key may be encrypted; pg_dump gets its password too, and not by its arguments or
// its environment.
func TestEncryptedKey(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "ca")
	p := encrypted(t, ca)
	src := testbed.Database(t, p)
	testbed.SQL(t, p, src, "CREATE ROLE carla LOGIN SUPERUSER; CREATE TABLE t (a int)")
	hba := filepath.Join(p.DataDir(), "pg_hba.conf")
	b, err := os.ReadFile(hba)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(hba, slices.Concat([]byte("hostssl all carla 127.0.0.1/32 cert\n"), b), 0o600); err != nil {
		t.Fatal(err)
	}
	testbed.SQL(t, p, "postgres", "SELECT pg_reload_conf()")
	cert, key := ca.issue(t, "carla", canary)
	certFile, keyFile := secretFile(t, string(cert)), secretFile(t, string(key))
	base := fmt.Sprintf("postgres://carla@localhost:%d/%s?sslmode=verify-full&sslrootcert=%s&sslcert=%s&sslkey=%s", p.Port(), src, ca.file, certFile, keyFile)
	for i := 0; ; i++ {
		code, out, errs := pgmove(t, "dump", "--source", base+"&sslpassword="+canary, "--to", t.TempDir()+"/a")
		if strings.Contains(out+errs, canary) {
			t.Errorf("the output shows the key's password:\n%s%s", out, errs)
		}
		if code == 0 {
			break
		}
		if i == 20 { // the reload takes a moment
			t.Fatalf("exit code %d\n%s", code, errs)
		}
		time.Sleep(100 * time.Millisecond)
	}
	out := mustExit(t, 3, "dump", "--source", base+"&sslpassword=x"+canary, "--to", t.TempDir()+"/b")
	if strings.Contains(out, canary) {
		t.Errorf("the output shows the key's password:\n%s", out)
	}
}
