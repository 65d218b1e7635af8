package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgmove/pgmove/internal/testbed"
)

// TestBadInputs: whatever is wrong with an argument, a report or a heartbeat, it is refused with a message and a code of its
// own kind, and nothing is touched.
func TestBadInputs(t *testing.T) {
	t.Parallel()
	p, src, _ := shopDatabases(t)
	dst := testbed.Database(t, p)
	huge := strings.Repeat("x", 1<<20)
	tried, refusedWell := 0, 0
	refused := func(codes string, args ...string) {
		t.Helper()
		tried++
		ok := true
		code, out, errs := pgmove(t, args...)
		if !strings.Contains(" "+codes+" ", fmt.Sprintf(" %d ", code)) || errs == "" {
			t.Errorf("pgmove %.200s: exit code %d, want %s\n%.500s%.500s", args, code, codes, out, errs)
			ok = false
		}
		if len(errs) > 3<<20 || strings.ContainsAny(errs, "\x00\x1b\u202e") {
			t.Errorf("pgmove %.200s: a message of %d bytes, or one that is not printable", args, len(errs))
			ok = false
		}
		if ok {
			refusedWell++
		}
	}
	for _, url := range []string{"", " ", "nonsense", "postgres:", "postgres://h:0x/d", "postgres://h:99999/d", "postgres://[::1/d", "postgres://u:p@h:1:2/d", "postgres://%zz/d",
		"oracle://u@h/d", "mysql://u@h:99999/d", "http://h/d", "host", "=x", "host='", "host=h port=x", "host=h,i port=1,2,3", "postgres://h/d?sslmode=maybe", "postgres://h/d?sslrootcert=/no/file",
		"postgres://h/d?sslcrl=x", "postgres://h/d?replication=true", "postgres://h/d?hostaddr=1.1.1.1", "postgres://h/d?gssencmode=require", "postgres://h/d?ssl_min_protocol_version=TLSv1.3",
		"postgres://h/d?target_session_attrs=best", "postgres://h/d?connect_timeout=-x", "postgres://h/d?" + huge, "\x00", "\x1b[2J", "postgres://h/\u202ed?sslmode=x", "service=none", "host=" + huge + " port=x"} {
		refused("3", "run", "--source", url, "--target", p.URL(dst))
		refused("3", "restore", "--from", "x", "--target", url)
	}
	for _, bad := range [][2]string{{"jobs", "0"}, {"jobs", "-1"}, {"jobs", "257"}, {"jobs", "9999999999999999999"}, {"jobs", "x"}, {"split-size", "0"}, {"split-size", "-1"},
		{"split-size", "9999999999999999999"}, {"split-size", "8388608TiB"}, {"split-size", "1 parsec"}, {"validate", "all"}, {"format", "csv"}, {"on-error", "retry"}, {"snapshot", "x"},
		{"snapshot", "0-0-0'; DROP TABLE x --"}, {"snapshot", "../../etc/passwd"}, {"via", "ftp://x/y"}, {"via", "file://host/x"}, {"via", "s3://"}, {"via", "s3://x/../y"}, {"no-such-flag", "x"}, {"jobs", huge}} {
		refused("3", "run", "--source", p.URL(src), "--target", p.URL(dst), "--"+bad[0]+"="+bad[1])
	}
	for _, bad := range [][2]string{{"compress", "lzma"}, {"compress", ""}, {"memory", "x"}, {"memory", "-1"}, {"encrypt-to", "age1nonsense"}, {"encrypt-to", huge}, {"mac-key", "/no/file"}, {"identity", "/no/file"}} {
		refused("1 3 10", "dump", "--source", p.URL(src), "--to", t.TempDir()+"/a", "--"+bad[0]+"="+bad[1])
	}
	report := filepath.Join(t.TempDir(), "report.json")
	good := testbed.Database(t, p)
	mustExit(t, 0, "run", "--source", p.URL(src), "--target", p.URL(good), "--report", report)
	whole, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "{}", "[]", "null", "\x00", `{"contents":null}`, `{"contents":[]}`, `{"contents":{}}`, strings.Repeat("[", 1<<20), string(whole[:len(whole)/2]),
		strings.Replace(string(whole), `"format": 1,`, `"format": 2,`, 1), strings.ReplaceAll(string(whole), `"format": "binary"`, `"format": "blobs"`), strings.ReplaceAll(string(whole), `"format": "binary"`, `"format": "x"`),
		strings.ReplaceAll(string(whole), `"name": "log"`, `"name": "log\"; DROP TABLE log; --"`), strings.ReplaceAll(string(whole), `"encoding": "UTF8"`, `"encoding": "UTF8'; DROP TABLE log; --"`),
		strings.ReplaceAll(string(whole), `"line"`, `"line\" FROM log) TO PROGRAM 'true' --"`)} {
		refused("1 3 10 30 31", "validate", "--digests", secretFile(t, bad), "--target", p.URL(good))
	}
	mustExit(t, 0, "validate", "--digests", report, "--target", p.URL(good)) // nothing was dropped
	// A heartbeat says how far a dump is: one that is nonsense, of another run or longer than it may be.
	dir := t.TempDir() + "/archive"
	killed(t, "archive.record:after:1", "dump", "--source", p.URL(src), "--to", dir, "--split-size", "200kB")
	beat := files(t, dir)["pgmove/heartbeat.json"]
	for _, bad := range [][]byte{{}, []byte("{}"), beat[:len(beat)-2], bytes.Repeat([]byte("["), 1<<20),
		append(bytes.Clone(beat), bytes.Repeat([]byte(" "), 100<<20)...), bytes.ToUpper(beat)} {
		put(t, dir, "pgmove/heartbeat.json", bad)
		refused("31 21", "restore", "--from", dir, "--wait", "--wait-silence", "2s", "--target", p.URL(dst))
		refused("31 21", "dump", "--source", p.URL(src), "--to", dir, "--resume")
	}
	untouched(t, p, dst)
	t.Logf("%d of %d bad inputs refused", refusedWell, tried)
}
