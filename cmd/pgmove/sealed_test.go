package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/pgmove/pgmove/internal/testbed"
	"github.com/pgmove/pgmove/stream/s3store"
)

// files are the objects of an archive in a folder, by key.
func files(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		key, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		all[key], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func put(t *testing.T, dir, key string, b []byte) {
	t.Helper()
	file := filepath.Join(dir, key)
	if err := os.Remove(file); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if b == nil {
		return
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestVerify damages an archive in every way that is easy to think of: verify names the object each
// time, and restore takes nothing of it.
func TestVerify(t *testing.T) {
	t.Parallel()
	p, src, _ := shopDatabases(t)
	testbed.SQL(t, p, src, "SELECT lo_from_bytea(4711, 'large')")
	dir := t.TempDir() + "/archive"
	mustExit(t, 0, "dump", "--source", p.URL(src), "--to", dir, "--split-size", "500kB")
	wantText(t, mustExit(t, 0, "verify", dir), "22501 rows", "every one as it was written")
	older := t.TempDir() + "/older"
	mustExit(t, 0, "dump", "--source", p.URL(src), "--to", older, "--split-size", "500kB")
	old := files(t, older)
	all := files(t, dir)
	var other string // an object to swap others with
	for key := range all {
		if strings.HasSuffix(key, ".dat.zst") && (other == "" || len(all[key]) > len(all[other])) {
			other = key
		}
	}
	cases := 0
	for key, whole := range all {
		if key == "pgmove/heartbeat.json" {
			continue // of no use in a sealed archive
		}
		flipped := bytes.Clone(whole)
		flipped[len(flipped)/2] ^= 0x10
		harm := map[string][]byte{"removed": nil, "flipped": flipped, "cut": whole[:len(whole)-1], "longer": append(bytes.Clone(whole), 0)}
		if key != other {
			harm["swapped"] = all[other]
		}
		if o, ok := old[key]; ok && strings.HasPrefix(key, "pgmove/") {
			harm["older"] = o
		}
		for name, b := range harm {
			cases++
			put(t, dir, key, b)
			out := mustExit(t, 31, "verify", dir)
			if key != "pgmove/manifest.json" || name != "removed" && name != "older" {
				wantText(t, out, key)
			}
		}
		put(t, dir, key, whole)
	}
	put(t, dir, "99.dat.zst", all[other])
	wantText(t, mustExit(t, 31, "verify", dir), "99.dat.zst", "does not belong")
	put(t, dir, "99.dat.zst", nil)
	mustExit(t, 0, "verify", dir)
	t.Logf("%d kinds of damage, all named", cases+1)
	// What would be SQL is refused before the target is touched.
	dst := testbed.Database(t, p)
	for _, key := range []string{"pgmove/manifest.json", "pgmove/header.json", "pgmove/entries.json", "pgmove/plan.json", "toc.dat"} {
		bad := bytes.Clone(all[key])
		bad[len(bad)/3] ^= 1
		put(t, dir, key, bad)
		wantText(t, mustExit(t, 31, "restore", "--from", dir, "--target", p.URL(dst)), key)
		put(t, dir, key, all[key])
	}
	untouched(t, p, dst)
}

// secretFile writes a file that is its owner's alone.
func secretFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestEncrypted: an archive that is encrypted and authenticated opens for who has both keys, and for
// nobody else, on one side, two sides and in one run.
func TestEncrypted(t *testing.T) {
	t.Parallel()
	p, src, dst := shopDatabases(t)
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	identity, mac := secretFile(t, id.String()+"\n"), secretFile(t, "a secret of both sides\n")
	dir := t.TempDir() + "/archive"
	waiting := beside(t, "restore", "--from", dir, "--target", p.URL(dst), "--wait", "--identity", identity, "--mac-key", mac)
	mustExit(t, 0, "dump", "--source", p.URL(src), "--to", dir, "--encrypt-to", id.Recipient().String(), "--mac-key", mac)
	if r := <-waiting; r.code != 0 {
		t.Fatalf("exit code %d\n%s%s", r.code, r.out, r.errors)
	}
	testbed.MustBeEqual(t, p, src, p, dst)
	for key, b := range files(t, dir) {
		if !strings.HasSuffix(key, ".age") || !bytes.HasPrefix(b, []byte("age-encryption.org/v1\n")) || bytes.Contains(b, []byte("customer")) {
			t.Errorf("%s is not encrypted", key)
		}
	}
	mustExit(t, 0, "verify", "--identity", identity, dir)
	empty := testbed.Database(t, p)
	restore := func(code int, words string, flags ...string) {
		t.Helper()
		wantText(t, mustExit(t, code, append([]string{"restore", "--from", dir, "--target", p.URL(empty)}, flags...)...), words)
	}
	restore(3, "--identity")
	restore(12, "identity", "--identity", secretFile(t, stranger.String()))
	restore(31, "authentication code is wrong", "--identity", identity, "--mac-key", secretFile(t, "a secret of somebody else"))
	restore(3, "too short", "--identity", identity, "--mac-key", secretFile(t, "short"))
	for _, key := range []string{"pgmove/manifest.json.age", "toc.dat.age"} {
		whole := files(t, dir)[key]
		for at := 0; at < len(whole); at += 1 + len(whole)/40 {
			bad := bytes.Clone(whole)
			bad[at] ^= 1
			put(t, dir, key, bad)
			code, out, errs := pgmove(t, "restore", "--from", dir, "--target", p.URL(empty), "--identity", identity)
			if code != 31 && code != 12 { // a flipped recipient is an identity that does not match
				t.Errorf("%s, byte %d of %d flipped: exit code %d\n%s%s", key, at, len(whole), code, out, errs)
			}
		}
		put(t, dir, key, whole)
	}
	untouched(t, p, empty)
	later := t.TempDir() + "/later"
	unaware := beside(t, "restore", "--from", later, "--target", p.URL(empty), "--wait")
	time.Sleep(500 * time.Millisecond)
	mustExit(t, 0, "dump", "--source", p.URL(src), "--to", later, "--encrypt-to", id.Recipient().String())
	if r := <-unaware; r.code != 3 {
		t.Errorf("who waits without an identity: exit code %d\n%s", r.code, r.errors)
	}
	// Who asks for an encrypted or authenticated archive is not handed a plain one.
	plain := t.TempDir() + "/plain"
	mustExit(t, 0, "dump", "--source", p.URL(src), "--to", plain)
	mustExit(t, 31, "restore", "--from", plain, "--target", p.URL(empty), "--identity", identity)
	wantText(t, mustExit(t, 31, "restore", "--from", plain, "--target", p.URL(empty), "--mac-key", mac), "no authentication code")
	untouched(t, p, empty)
	via := t.TempDir() + "/via"
	run := []string{"run", "--source", p.URL(src), "--target", p.URL(empty), "--via", via, "--encrypt-to", id.Recipient().String()}
	wantText(t, mustExit(t, 3, run...), "--identity")
	mustExit(t, 0, append(run, "--identity", identity, "--mac-key", mac, "--rm-via")...)
	testbed.MustBeEqual(t, p, src, p, empty)
	if left := files(t, via); len(left) > 0 {
		t.Errorf("--rm-via left %d objects", len(left))
	}
}

// TestStockArchives restores what stock pg_dump wrote, of each version and compression there is.
func TestStockArchives(t *testing.T) {
	t.Parallel()
	s3 := shareS3(t)
	majors := testbed.Majors()
	tried := 0
	for _, major := range testbed.ClientMajors() {
		bin, _ := testbed.ClientBin(major)
		if !slices.Contains(majors, major) {
			continue
		}
		p := testbed.OwnPostgres(t, testbed.PostgresOptions{Major: major, Settings: map[string]string{"max_locks_per_transaction": "256"}})
		without := prepareCluster(t, p)
		src := database(t, p)
		loadEverything(t, p, src, testbed.FixtureOptions{Superuser: true, Without: without, WithoutStockFailures: true})
		dump := func(t *testing.T, dir string, args ...string) {
			t.Helper()
			cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "pg_dump"), append(args, "-Fd", "-j2", "-f", dir, p.URL(src))...)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("pg_dump: %v\n%s", err, out)
			}
		}
		for _, z := range []string{"0", "gzip", "lz4", "zstd"} {
			if major < 16 && z != "0" && z != "gzip" {
				continue // those came with 16
			}
			if z == "gzip" && major < 16 {
				z = "6"
			}
			t.Run(fmt.Sprintf("pg_dump %d, %s", major, z), func(t *testing.T) {
				dir := t.TempDir() + "/stock"
				dump(t, dir, "--compress="+z)
				tried++
				dst := database(t, p)
				wantText(t, mustExit(t, 0, "restore", "--from", dir, "--target", p.URL(dst)), "counted, not compared")
				testbed.MustBeEqual(t, p, src, p, dst, append(stale, "set_config")...)
				wantText(t, mustExit(t, 0, "verify", dir), "no digests")
				wantText(t, mustExit(t, 0, "inspect", dir), "pg_dump", "without digests")
			})
		}
		if major != testbed.DefaultMajor() {
			continue
		}
		t.Run("in S3", func(t *testing.T) {
			bucket := testbed.Bucket(t, s3)
			dir := t.TempDir() + "/stock"
			dump(t, dir)
			// As aws s3 sync does it.
			store, err := s3store.Open(t.Context(), s3store.Options{Bucket: bucket, Prefix: "stock", PathStyle: true})
			if err != nil {
				t.Fatal(err)
			}
			for key, b := range files(t, dir) {
				if err := store.Put(t.Context(), key, bytes.NewReader(b)); err != nil {
					t.Fatal(err)
				}
			}
			dst := database(t, p)
			mustExit(t, 0, "restore", "--from", "s3://"+bucket+"/stock", "--target", p.URL(dst), "--s3-path-style")
			testbed.MustBeEqual(t, p, src, p, dst, append(stale, "set_config")...)
			if err := store.Delete(t.Context(), "toc.dat"); err != nil {
				t.Fatal(err)
			}
			mustExit(t, 31, "restore", "--from", "s3://"+bucket+"/stock", "--target", p.URL(database(t, p)), "--s3-path-style")
		})
	}
	if tried < 2 {
		t.Fatalf("only %d archives were tried: make tools", tried)
	}
}
