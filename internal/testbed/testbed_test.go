package testbed_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgmove/pgmove/internal/testbed"
)

// orphan is the variable that makes this test binary start a server and wait to be
// killed; see TestServersDieWithTheirOwner.
const orphan = "PGMOVE_TESTBED_ORPHAN"

func TestMain(m *testing.M) {
	if os.Getenv(orphan) != "" {
		beKilled()
		return
	}
	testbed.Main(m)
}

func TestEachMajor(t *testing.T) {
	majors := testbed.Majors()
	if len(majors) == 0 {
		t.Fatal("no PostgreSQL server is installed: run `make tools`")
	}
	for _, line := range testbed.Missing() {
		if os.Getenv("PGMOVE_TEST_REQUIRE") != "" {
			t.Errorf("not installed here, and PGMOVE_TEST_REQUIRE is set: %s", line)
		}
		t.Logf("not installed here: %s", line)
	}
	for _, major := range majors {
		t.Run(strconv.Itoa(major), func(t *testing.T) {
			p := testbed.OwnPostgres(t, testbed.PostgresOptions{Major: major})
			for sql, want := range map[string]string{
				"SELECT split_part(version(), '.', 1)": fmt.Sprintf("PostgreSQL %d", major),
				"SHOW wal_level":                       "logical",
				"SHOW server_encoding":                 "UTF8",
				"SELECT rolpassword LIKE 'SCRAM%' FROM pg_authid WHERE rolname = 'postgres'": "t",
				"SELECT NULL": testbed.Null,
				// What the tests of extensions' tables rest on.
				"SELECT count(*) FROM pg_available_extensions WHERE name IN ('hstore', 'citext', 'pg_trgm')": "3",
			} {
				got, err := p.Value(t.Context(), "postgres", sql)
				if err != nil {
					t.Fatal(err)
				}
				if got != want {
					t.Errorf("%s: %q, want %q", sql, got, want)
				}
			}
			if major != p.Major() {
				t.Errorf("Major: %d", p.Major())
			}
		})
	}
}

// TestClients runs each client program that is there, and dumps the default cluster with
// those that can.
func TestClients(t *testing.T) {
	p := testbed.Shared(t, 0)
	db := testbed.Database(t, p)
	testbed.SQL(t, p, db, "CREATE TABLE a_table (id int)")
	majors := testbed.ClientMajors()
	if len(majors) == 0 {
		t.Fatal("no PostgreSQL client programs are installed: run `make tools`")
	}
	for _, major := range majors {
		dir, ok := testbed.ClientBin(major)
		if !ok {
			t.Fatalf("ClientBin(%d) does not know what ClientMajors does", major)
		}
		for _, program := range []string{"psql", "pg_dump", "pg_restore"} {
			out, err := exec.CommandContext(t.Context(), filepath.Join(dir, program), "--version").CombinedOutput()
			if want := fmt.Sprintf(") %d.", major); err != nil || !strings.Contains(string(out), want) {
				t.Errorf("%s/%s --version: %v: %s", dir, program, err, out)
			}
		}
		if major < p.Major() {
			continue // pg_dump refuses newer servers
		}
		out, err := exec.CommandContext(t.Context(), filepath.Join(dir, "pg_dump"), "--schema-only", p.URL(db)).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "CREATE TABLE public.a_table") {
			t.Errorf("pg_dump %d: %v: %s", major, err, out)
		}
	}
	if major, dir := testbed.NewestClient(); major != majors[len(majors)-1] || dir == "" {
		t.Errorf("NewestClient: %d %q", major, dir)
	}
}

func TestPasswordsCount(t *testing.T) {
	p := testbed.Shared(t, 0)
	_, err := pgconn.Connect(t.Context(), p.URLAs("postgres", "wrong", "postgres"))
	var pe *pgconn.PgError
	if !errors.As(err, &pe) || pe.Code != "28P01" {
		t.Errorf("with a wrong password: %v", err)
	}
}

func TestSettingsAndInitArgs(t *testing.T) {
	p := testbed.OwnPostgres(t, testbed.PostgresOptions{
		Settings: map[string]string{"shared_buffers": "32MB", "cluster_name": `it's \ one`},
		InitArgs: []string{"--locale=C", "--encoding=LATIN1"},
	})
	for sql, want := range map[string]string{
		"SHOW shared_buffers": "32MB", "SHOW cluster_name": `it's \ one`, "SHOW server_encoding": "LATIN1",
	} {
		if got, err := p.Value(t.Context(), "postgres", sql); err != nil || got != want {
			t.Errorf("%s: %q %v, want %q", sql, got, err, want)
		}
	}
}

func TestStopKeepsDataAndPort(t *testing.T) {
	ctx := t.Context()
	p := testbed.OwnPostgres(t, testbed.PostgresOptions{})
	testbed.SQL(t, p, "postgres", "CREATE TABLE kept (n int); INSERT INTO kept VALUES (42)")
	port := p.Port()
	for _, mode := range []testbed.StopMode{testbed.Fast, testbed.Immediate, testbed.Crash} {
		if err := p.Stop(ctx, mode); err != nil {
			t.Fatal(err)
		}
		if err := p.Exec(ctx, "postgres", "SELECT 1"); err == nil {
			t.Fatal("a cluster that is stopped takes connections")
		}
		if err := p.Start(ctx); err != nil {
			t.Fatal(err)
		}
		if got, err := p.Value(ctx, "postgres", "SELECT n FROM kept"); err != nil || got != "42" || p.Port() != port {
			t.Fatalf("after the restart: %q %v, port %d", got, err, p.Port())
		}
	}
}

func TestDatabaseIsFreshAndGoes(t *testing.T) {
	p := testbed.Shared(t, 0)
	var names []string
	for range 2 {
		t.Run("Täst/of a name", func(t *testing.T) {
			db := testbed.Database(t, p)
			names = append(names, db)
			testbed.SQL(t, p, db, "CREATE TABLE t (n int)")
			testbed.SQL(t, p, db, "SELECT pg_create_logical_replication_slot('slot_of_"+db+"', 'pgoutput')")
			// A session that stays must not keep the database.
			c, err := pgconn.Connect(t.Context(), p.URL(db))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close(context.Background()) })
		})
	}
	if len(names) != 2 || names[0] == names[1] {
		t.Fatalf("not two names: %q", names)
	}
	got, err := p.Value(t.Context(), "postgres", "SELECT count(*) FROM pg_database WHERE datname IN ('"+strings.Join(names, "','")+"')")
	if err != nil || got != "0" {
		t.Errorf("databases left: %s %v", got, err)
	}
}

func TestErrorsSayWhatFailed(t *testing.T) {
	ctx := t.Context()
	if _, err := testbed.StartPostgres(ctx, testbed.PostgresOptions{Major: 99}); err == nil || !strings.Contains(err.Error(), "make tools") {
		t.Errorf("a major that is not installed: %v", err)
	}
	_, err := testbed.StartPostgres(ctx, testbed.PostgresOptions{Settings: map[string]string{"no_such_setting": "1"}})
	if err == nil || !strings.Contains(err.Error(), "no_such_setting") {
		t.Errorf("a setting that does not exist: %v", err)
	}
	err = testbed.Shared(t, 0).Exec(ctx, "postgres", "SELECT 1;\nSELECT nonsense")
	if err == nil || !strings.Contains(err.Error(), `line 2, "SELECT nonsense"`) {
		t.Errorf("wrong SQL: %v", err)
	}
	t.Setenv("PGMOVE_TOOLS", t.TempDir())
	if _, err := testbed.StartS3(ctx); err == nil || !strings.Contains(err.Error(), "make tools") {
		t.Errorf("no S3 server: %v", err)
	}
}

func TestS3(t *testing.T) {
	ctx := t.Context()
	srv := testbed.OwnS3(t)
	bucket := testbed.Bucket(t, srv)
	client := func(secret string) *s3.Client {
		return s3.New(s3.Options{
			BaseEndpoint: aws.String(srv.Endpoint()), Region: srv.Region(), UsePathStyle: true, RetryMaxAttempts: 1,
			Credentials: credentials.NewStaticCredentialsProvider(srv.AccessKey(), secret, ""),
		})
	}
	c := client(srv.SecretKey())
	body := bytes.Repeat([]byte("pgmove "), 100_000)
	put := &s3.PutObjectInput{Bucket: &bucket, Key: aws.String("a/b"), Body: bytes.NewReader(body)}
	if _, err := c.PutObject(ctx, put); err != nil {
		t.Fatalf("put: %v\n%s", err, srv.Log())
	}
	get := func(c *s3.Client) ([]byte, error) {
		out, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: aws.String("a/b")})
		if err != nil {
			return nil, err
		}
		defer out.Body.Close()
		return io.ReadAll(out.Body)
	}
	if got, err := get(c); err != nil || !bytes.Equal(got, body) {
		t.Fatalf("get: %d bytes, %v", len(got), err)
	}
	if _, err := get(client("wrong")); err == nil {
		t.Error("a wrong secret key is taken")
	}
	if b, err := os.ReadFile(filepath.Join(srv.BucketDir(bucket), "a", "b")); err != nil || !bytes.Equal(b, body) {
		t.Errorf("the object's file: %d bytes, %v", len(b), err)
	}
	list, err := c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &bucket})
	if err != nil || len(list.Contents) != 1 {
		t.Errorf("list: %v %v", list, err)
	}
	if err := srv.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := get(c); err == nil {
		t.Error("a server that is stopped answers")
	}
	if err := srv.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if got, err := get(c); err != nil || !bytes.Equal(got, body) {
		t.Errorf("get after the restart: %d bytes, %v", len(got), err)
	}
	if err := srv.CreateBucket("../outside"); err == nil {
		t.Error("a bucket outside of the server's folder is created")
	}
}

// TestServersDieWithTheirOwner kills a process that owns servers and looks whether
// they are gone, and their folders with the next start.
func TestServersDieWithTheirOwner(t *testing.T) {
	// Not t.TempDir(), which the servers' user can't enter.
	tmp, err := os.MkdirTemp("", "pgmove-test-")
	if err == nil {
		err = os.Chmod(tmp, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(tmp) })
	t.Setenv("TMPDIR", tmp)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Env = append(os.Environ(), orphan+"=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pg, s3 string
	if _, err := fmt.Fscanln(out, &pg, &s3); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	for _, address := range []string{pg, s3} {
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			c, err := net.Dial("tcp", address)
			if err != nil {
				break
			}
			_ = c.Close()
			if time.Now().After(deadline) {
				t.Fatalf("a server outlives its owner: %s", address)
			}
		}
	}
	left, err := os.ReadDir(tmp)
	if err != nil || len(left) != 2 {
		t.Fatalf("not the folders of two servers: %v %v", left, err)
	}
	past := time.Now().Add(-time.Hour)
	for _, dir := range left {
		if err := os.Chtimes(filepath.Join(tmp, dir.Name()), past, past); err != nil {
			t.Fatal(err)
		}
	}
	srv, err := testbed.StartS3(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	left, err = os.ReadDir(tmp)
	if err != nil || len(left) != 1 {
		t.Errorf("folders left beside that of the one server: %v %v", left, err)
	}
	if err := srv.Close(); err != nil {
		t.Error(err)
	}
}

// beKilled is the owner that TestServersDieWithTheirOwner kills.
func beKilled() {
	ctx := context.Background()
	p, err := testbed.StartPostgres(ctx, testbed.PostgresOptions{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	s, err := testbed.StartS3(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	fmt.Printf("127.0.0.1:%d %s\n", p.Port(), strings.TrimPrefix(s.Endpoint(), "http://"))
	time.Sleep(time.Minute)
}
