package main

import (
	"bytes"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/pgmove/pgmove/internal/testbed"
)

// pgbouncer starts Debian's PgBouncer before the server, in a pool mode, and returns the URL of a database through it.
func pgbouncer(t *testing.T, p *testbed.Postgres, db, mode string) string {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/pgbouncer"); err != nil {
			t.Fatal("pgbouncer is not installed: make tools")
		}
	}
	server, err := url.Parse(p.URL(db))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	dir, err := os.MkdirTemp("", "pgmove-bouncer-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	password, _ := server.User.Password()
	config := fmt.Sprintf(`[databases]
%[1]s = host=127.0.0.1 port=%[2]s dbname=%[1]s user=postgres password=%[3]s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %[4]d
unix_socket_dir =
auth_type = any
pool_mode = %[5]s
ignore_startup_parameters = extra_float_digits
`, db, server.Port(), password, port, mode)
	file := filepath.Join(dir, "pgbouncer.ini")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, file)
	var log bytes.Buffer
	cmd.Stderr = &log
	if os.Geteuid() == 0 {
		// It refuses root, as PostgreSQL does.
		u, err := user.Lookup("postgres")
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		for _, f := range []string{dir, file} {
			if err := os.Chown(f, uid, gid); err != nil {
				t.Fatal(err)
			}
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}} //nolint:gosec // from the system's list
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s", log.String())
		}
	})
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	for begun := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", address) //nolint:noctx // it is bounded below
		if err == nil {
			_ = c.Close()
			break
		}
		if time.Since(begun) > 30*time.Second {
			t.Fatalf("pgbouncer did not start: %v", err)
		}
	}
	return "postgres://postgres@" + address + "/" + db + "?sslmode=disable"
}

// checkPooler goes through PgBouncer: in transaction mode it is refused by name, and leaves nothing in the sessions that others share.
func checkPooler(t *testing.T) {
	p := testbed.Shared(t, 0)
	src, dst := testbed.Database(t, p), testbed.Database(t, p)
	shared := pgbouncer(t, p, src, "transaction")
	found := check(t, 10, []string{"--source", shared, "--target", pgbouncer(t, p, dst, "transaction")}, "source-pooler", "target-pooler")
	wantText(t, found["source-pooler"].Msg, "PgBouncer", "RDS Proxy")
	wantText(t, mustExit(t, 10, "dump", "--source", shared, "--to", t.TempDir()), "PgBouncer", "session mode")
	c := connect(t, shared)
	// What PgBouncer itself sets is not ours.
	res, err := c.Exec(t.Context(), `SELECT coalesce(string_agg(name, ' '), '') FROM pg_settings WHERE source = 'session'
		AND name NOT IN ('client_encoding', 'application_name', 'DateStyle', 'TimeZone', 'standard_conforming_strings')`).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if got := string(res[0].Rows[0][0]); got != "" {
		t.Errorf("settings are left in the pool's session: %s", got)
	}
	check(t, 0, []string{"--source", pgbouncer(t, p, src, "session")})
}
