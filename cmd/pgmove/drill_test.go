package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgmove/pgmove/internal/testbed"
	"github.com/pgmove/pgmove/validate"
)

// museum has one table for each way in which a row's key and values may be awkward.
const museum = `
CREATE TABLE item (id bigint PRIMARY KEY, t text, b bytea, f float8, n numeric, at timestamptz, tags text[], big text);
INSERT INTO item SELECT g, 'row ' || g, decode(lpad(to_hex(g), 8, '0'), 'hex'), g / 3.0, (g || '.50')::numeric, timestamptz '2026-01-01 00:00:00+00' + g * interval '1 s', ARRAY['a', g::text], repeat('x', 30)
	FROM generate_series(1, 5000) g;
UPDATE item SET t = NULL WHERE id = 100; UPDATE item SET f = 0 WHERE id = 101; UPDATE item SET f = 'NaN' WHERE id = 102;
CREATE TABLE plain (a int, f float8, t text, b bytea, at timestamptz);
INSERT INTO plain SELECT g, 0, 'secret ' || g, '\x00', '2026-01-01 00:00:00+00' FROM generate_series(1, 400) g;
CREATE TABLE pair (a text, b uuid, v jsonb, PRIMARY KEY (b, a));
INSERT INTO pair SELECT 'it''s ' || g, md5(g::text)::uuid, jsonb_build_object('g', g) FROM generate_series(1, 700) g;
CREATE TABLE keyless (a int, b text);
INSERT INTO keyless SELECT g % 50, 'b' FROM generate_series(1, 500) g;
CREATE TYPE colour AS ENUM ('red', 'green', 'blue');
CREATE TABLE part (id int, c colour, v text, PRIMARY KEY (id, c)) PARTITION BY HASH (c);
CREATE TABLE part0 PARTITION OF part FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE part1 PARTITION OF part FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO part SELECT g, (ARRAY['red', 'green', 'blue'])[1 + g % 3]::colour, 'v' FROM generate_series(1, 300) g;
CREATE TABLE latin ("the key" int PRIMARY KEY, "töxt" text); INSERT INTO latin SELECT g, 'ä' FROM generate_series(1, 50) g;
SELECT lo_from_bytea(70000, convert_to(repeat('large ', 200000), 'UTF8')); SELECT lo_from_bytea(70001, 'small');`

// damage changes what museum made, and wantDamage is what is to be found: table, kind, key, columns.
const damage = `
UPDATE item SET t = '' WHERE id = 100; UPDATE item SET f = '-0' WHERE id = 101; UPDATE item SET f = 'Infinity' WHERE id = 102;
UPDATE item SET b = '\x00', tags = ARRAY['a', 'b'] WHERE id = 103; UPDATE item SET n = 104.5 WHERE id = 104;
UPDATE item SET at = at + interval '1 microsecond' WHERE id = 105; DELETE FROM item WHERE id = 4000; INSERT INTO item (id, t) VALUES (-9, 'more');
UPDATE plain SET t = 'Secret' WHERE a = 7;
UPDATE pair SET v = '{"g": 0}' WHERE a = 'it''s 5';
INSERT INTO keyless VALUES (3, 'b'), (3, 'b'); DELETE FROM keyless WHERE ctid = (SELECT min(ctid) FROM keyless WHERE a = 4);
UPDATE part SET v = 'w' WHERE id = 9; DELETE FROM part WHERE id = 10;
UPDATE latin SET "töxt" = 'Ä' WHERE "the key" = 5;
SELECT lo_put(70000, 300000, 'LARGER');`

var wantDamage = []string{
	"public.item: different id=100 t", "public.item: different id=101 f", "public.item: different id=102 f",
	"public.item: different id=103 b, tags", "public.item: different id=104 n", "public.item: different id=105 at",
	"public.item: missing id=4000 ", "public.item: extra id=-9 ",
	"public.pair: different b=e4da3b7f-bbce-2345-d777-2b0674a318d5, a='it''s 5' v",
	"public.part: different id=9, c=red v", "public.part: missing id=10, c=green ",
	`public.latin: different the key=5 töxt`,
	"large objects: different oid=70000, offset=262144 data",
}

// validation reads the validation of a report.
func validation(t *testing.T, file string) *validate.Result {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r struct {
		Result *validate.Result `json:"validation"`
	}
	if err := json.Unmarshal(b, &r); err != nil || r.Result == nil {
		t.Fatalf("%v\n%.2000s", err, b)
	}
	return r.Result
}

// wantRows compares the differences of a result with what is wanted, those of keyless tables apart.
func wantRows(t *testing.T, res *validate.Result, want []string) {
	t.Helper()
	var got []string
	for _, tab := range res.Tables {
		d := tab.Differences
		if (d != nil) != (tab.Verdict == validate.Different) {
			t.Errorf("%s is %s: %+v", tab.Name, tab.Verdict, d)
		}
		if d == nil {
			continue
		}
		if !d.Proved || d.Note != "" {
			t.Errorf("%s: the rows are not proved: %+v", tab.Name, d)
		}
		switch tab.Name {
		case "public.keyless":
			if d.Missing != 1 || d.Extra != 2 || d.Different != 0 || len(d.Rows) != 2 || d.Rows[0].Copies+d.Rows[1].Copies != 3 {
				t.Errorf("keyless: %+v", d)
			}
			continue
		case "public.plain":
			if d.Missing != 1 || d.Extra != 1 || d.Different != 0 || len(d.Rows) != 2 || d.Rows[0].Hash == d.Rows[1].Hash {
				t.Errorf("plain: %+v", d)
			}
			continue
		}
		for i := range d.Rows {
			r := &d.Rows[i]
			got = append(got, tab.Name+": "+r.Kind+" "+r.Name()+" "+r.What())
		}
	}
	slices.Sort(got)
	want = slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Errorf("found\n%s\ninstead of\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestDrillDown: between two major versions, each row that was changed on the target is named with key and columns, and no other, whether the
// source is compared, or the archive, in text and in binary.
func TestDrillDown(t *testing.T) {
	t.Parallel()
	old, p := testbed.Shared(t, testbed.Majors()[0]), testbed.Shared(t, 0)
	src, dst := testbed.Database(t, old), testbed.Database(t, p)
	testbed.SQL(t, old, src, museum)
	dir := t.TempDir()
	archive, binary, report := dir+"/archive", dir+"/binary", dir+"/run.json"
	mustExit(t, 0, "run", "--source", old.URL(src), "--target", p.URL(dst), "--via", archive, "--report", report, "--split-size", "100kB", "--validate", "rows")
	mustExit(t, 0, "dump", "--source", old.URL(src), "--to", binary, "--format", "binary")
	testbed.SQL(t, p, dst, damage)
	for _, c := range []struct{ name, flag, value string }{{"source", "source", old.URL(src)}, {"archive", "archive", archive}, {"binary archive", "archive", binary}} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "report.json")
			out := mustExit(t, 30, "validate", "--"+c.flag, c.value, "--target", p.URL(dst), "--validate", "rows", "--report", file, "--recheck", "1", "--recheck-pause", "1ms")
			wantText(t, out, "public.item: 1 missing, 1 extra, 6 different", "id=103", "b, tags", "public.keyless: 1 missing, 2 extra", "2 copies", "oid=70000")
			for _, secret := range []string{"Secret", "secret", "LARGER", `"g"`} {
				if b, err := os.ReadFile(file); err != nil || strings.Contains(out, secret) || strings.Contains(string(b), secret) {
					t.Errorf("%q is shown, or %v", secret, err)
				}
			}
			wantRows(t, validation(t, file), wantDamage)
			if c.flag == "archive" {
				wantText(t, out, "[chunk ")
			}
		})
	}
	out := mustExit(t, 30, "validate", "--source", old.URL(src), "--target", p.URL(dst), "--validate", "rows", "--show-values", "--recheck", "0")
	wantText(t, out, "t (NULL on the source, '' on the target)", "f (0 on the source, -0 on the target)", "f (NaN on the source, Infinity on the target)",
		"n (104.50 on the source, 104.5 on the target)", "t=Secret", "more")
	// From digests alone only the tables can be named, and it says so.
	out = mustExit(t, 30, "validate", "--digests", report, "--target", p.URL(dst), "--validate", "rows")
	wantText(t, out, "public.item", "digests alone don't tell", "--source", "--archive")
	// Few are listed, all are counted.
	out = mustExit(t, 30, "validate", "--archive", archive, "--target", p.URL(dst), "--validate", "rows", "--max-differences", "2", "--table", "item")
	wantText(t, out, "public.item: 1 missing, 1 extra, 6 different", "… and 6 more", "unverified: 7 tables of 8")
}

// TestDrillDownInMotion: rows that the target gets late are no mismatch, and rows that change all the time are no pass.
func TestDrillDownInMotion(t *testing.T) {
	t.Parallel()
	p := testbed.Shared(t, 0)
	src, dst := testbed.Database(t, p), testbed.Database(t, p)
	testbed.SQL(t, p, src, "CREATE TABLE moving (id int PRIMARY KEY, v text); INSERT INTO moving SELECT g, 'v' FROM generate_series(1, 20000) g")
	mustExit(t, 0, "run", "--source", p.URL(src), "--target", p.URL(dst))
	lookedAt := func() { // the rows that differ were seen for the first time, in a snapshot
		for t.Context().Err() == nil {
			n, err := p.Value(t.Context(), dst, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%hashtextextended(%' AND pid <> pg_backend_pid()")
			if err != nil || n != "0" {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	args := []string{"validate", "--source", p.URL(src), "--target", p.URL(dst), "--validate", "rows", "--recheck", "100", "--recheck-pause", "100ms"}
	testbed.SQL(t, p, dst, "DELETE FROM moving WHERE id BETWEEN 500 AND 520; UPDATE moving SET v = 'old' WHERE id = 7")
	done := make(chan error, 1)
	go func() {
		lookedAt()
		done <- p.Exec(context.Background(), dst, "INSERT INTO moving SELECT g, 'v' FROM generate_series(500, 520) g; UPDATE moving SET v = 'v' WHERE id = 7")
	}()
	out := mustExit(t, 0, args...)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	wantText(t, out, "22 rows were in motion", "equal when they were looked at again")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() {
		for i := 0; ctx.Err() == nil; i++ {
			_ = p.Exec(ctx, dst, fmt.Sprintf("UPDATE moving SET v = 'at %d' WHERE id = 9", i))
		}
		close(done)
	}()
	for t.Context().Err() == nil {
		if v, err := p.Value(t.Context(), dst, "SELECT v FROM moving WHERE id = 9"); err != nil || v != "v" {
			break
		}
	}
	args[len(args)-3] = "3"
	out = mustExit(t, 30, args...)
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	wantText(t, out, "unstable", "id=9", "1 different, 1 of them unstable")
}

// TestValidateGoesOn: a validation goes on from its state, without reading again what was equal.
func TestValidateGoesOn(t *testing.T) {
	t.Parallel()
	p, src, dst := shopDatabases(t)
	dir := t.TempDir()
	archive, state := dir+"/archive", dir+"/state"
	mustExit(t, 0, "run", "--source", p.URL(src), "--target", p.URL(dst), "--via", archive, "--keep-ledger", "--validate", "rows")
	args := []string{"validate", "--archive", archive, "--target", p.URL(dst), "--state", state}
	testbed.SQL(t, p, dst, "UPDATE orders SET note = 'changed' WHERE id = 5")
	wantText(t, mustExit(t, 30, args...), "public.orders", "--validate rows")
	wantText(t, mustExit(t, 3, args...), "--resume")
	// As after a kill in the middle of a line.
	f, err := os.OpenFile(state, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"table":"public.ord`); err != nil || f.Close() != nil {
		t.Fatal(err)
	}
	out := mustExit(t, 30, append(args, "--resume", "--validate", "rows")...)
	wantText(t, out, "public.orders: 1 different", "id=5", "2 of 3 tables were not read again")
	testbed.SQL(t, p, dst, "UPDATE orders SET note = repeat('n', 5) WHERE id = 5")
	mustExit(t, 0, append(args, "--resume")...)
	wantText(t, mustExit(t, 0, append(args, "--resume")...), "3 of 3 tables were not read again", "ago")
	other := testbed.Database(t, p)
	wantText(t, mustExit(t, 3, "validate", "--archive", archive, "--target", p.URL(other), "--state", state, "--resume"), "another target")
	// A run that has ended is only compared, and tells the rows too: from its archive.
	testbed.SQL(t, p, dst, "UPDATE orders SET note = 'changed' WHERE id = 6")
	out = mustExit(t, 30, "run", "--source", p.URL(src), "--target", p.URL(dst), "--via", archive, "--resume", "--validate", "rows")
	wantText(t, out, "public.orders: 1 different", "id=6", "[chunk ")
	out = mustExit(t, 30, "restore", "--from", archive, "--target", p.URL(dst), "--resume", "--validate", "rows")
	wantText(t, out, "public.orders: 1 different", "id=6", "[chunk ")
	for _, bad := range [][]string{{"--table", "nothing"}, {"--table", `"Orders"`}, {"--max-differences", "5"}, {"--max-rate", "fast"}, {"--resume"}, {"--validate", "cells"}} {
		if code, _, errs := pgmove(t, append([]string{"validate", "--archive", archive, "--target", p.URL(dst)}, bad...)...); code != 3 {
			t.Errorf("%q: exit code %d\n%s", bad, code, errs)
		}
	}
	out = mustExit(t, 0, "validate", "--archive", archive, "--target", p.URL(dst), "--table", "public.(log|cust*)", "--max-rate", "10MB/s")
	wantText(t, out, "public.log", "public.customer", "unverified: 1 tables of 3", "equal, 2 unverified")
}

// TestRunTellsRows: of a direct run whose source has lost the snapshot, the source as it is now tells the rows, and it is
// said whether it has changed.
func TestRunTellsRows(t *testing.T) {
	t.Parallel()
	p, src, dst := shopDatabases(t)
	args := []string{"run", "--source", p.URL(src), "--target", p.URL(dst), "--keep-ledger"}
	mustExit(t, 0, args...)
	wantText(t, mustExit(t, 10, args[:5]...), "ended there, and its ledger was kept")
	testbed.SQL(t, p, dst, "UPDATE orders SET note = 'changed' WHERE id = 6")
	wantText(t, mustExit(t, 30, append(args, "--resume", "--validate", "rows")...), "public.orders: 1 different", "id=6")
	// Once the source goes on there is nothing to resume, and what the target holds is its own.
	testbed.SQL(t, p, src, "UPDATE orders SET note = 'later' WHERE id = 7")
	wantText(t, mustExit(t, 10, append(args, "--resume")...), "a move that has ended")
	if note, err := p.Value(t.Context(), dst, "SELECT note FROM orders WHERE id = 6"); err != nil || note != "changed" {
		t.Errorf("the target's row: %q, %v", note, err)
	}
}

// TestDrillDownReadsLittle: of a million rows almost none are sent to find three that differ.
func TestDrillDownReadsLittle(t *testing.T) {
	t.Parallel()
	p := testbed.Shared(t, 0)
	src := testbed.Database(t, p)
	const many = `CREATE TABLE million (id bigint PRIMARY KEY, a int, v text);
		INSERT INTO million SELECT g * 1000, g % 77, 'value ' || g FROM generate_series(1, 999999) g;
		INSERT INTO million VALUES (4611686018427387904, 0, 'far from all others');
		CREATE TABLE words (w text, n int, v text, PRIMARY KEY (w, n)); INSERT INTO words SELECT md5(g::text), g, repeat('v', 20) FROM generate_series(1, 50000) g`
	testbed.SQL(t, p, src, many)
	dst := testbed.DatabaseWith(t, p, "TEMPLATE "+src)
	testbed.SQL(t, p, dst, "UPDATE million SET v = '' WHERE id = 777000; DELETE FROM million WHERE id = 1000; INSERT INTO million VALUES (999999999, 1, 'more'); UPDATE words SET v = 'w' WHERE n = 777")
	file := t.TempDir() + "/report.json"
	mustExit(t, 30, "validate", "--source", p.URL(src), "--target", p.URL(dst), "--validate", "rows", "--no-schema-check", "--recheck", "0", "--report", file)
	tables := validation(t, file).Tables
	d, words := tables[0].Differences, tables[1].Differences
	if !words.Proved || words.Different != 1 || words.BytesRead == 0 || words.BytesRead > 1<<17 {
		t.Errorf("words: %+v", words)
	}
	if !d.Proved || d.Missing != 1 || d.Extra != 1 || d.Different != 1 || len(d.Rows) != 3 {
		t.Errorf("%+v", d)
	}
	if d.BytesRead == 0 || d.BytesRead > 1<<20 {
		t.Errorf("%d bytes were sent", d.BytesRead)
	}
}

// TestDrillDownMySQL: rows that differ are told between two servers of MySQL's family too.
func TestDrillDownMySQL(t *testing.T) {
	t.Parallel()
	from, to := mariaServers(t)
	src := testbed.MariaDatabase(t, "", from)
	if err := from.Exec(t.Context(), src, "CREATE TABLE item (id int PRIMARY KEY, t text, b varbinary(20)); INSERT INTO item SELECT seq, concat('row ', seq), x'00ff' FROM seq_1_to_3000; UPDATE item SET t = NULL WHERE id = 7; CREATE TABLE keyless (a int, t text); INSERT INTO keyless SELECT seq % 5, 'x' FROM seq_1_to_50"); err != nil {
		t.Fatal(err)
	}
	dst := testbed.MariaDatabase(t, src, to)
	archive, file := t.TempDir()+"/archive", t.TempDir()+"/report.json"
	mustExit(t, 0, "run", "--source", from.URL(src), "--target", to.URL(dst), "--via", archive, "--validate", "rows", "--max-rate", "100MB/s")
	if err := to.Exec(t.Context(), dst, "UPDATE item SET t = '' WHERE id = 7; UPDATE item SET b = x'0a' WHERE id = 8; DELETE FROM item WHERE id = 9; INSERT INTO keyless VALUES (3, 'x')"); err != nil {
		t.Fatal(err)
	}
	for _, with := range [][]string{{"--source", from.URL(src)}, {"--archive", archive}} {
		out := mustExit(t, 30, append(append([]string{"validate"}, with...), "--target", to.URL(dst), "--validate", "rows", "--report", file)...)
		wantText(t, out, "1 missing, 2 different", "id=7", "id=8", "id=9", "1 extra")
		for _, tab := range validation(t, file).Tables {
			if d := tab.Differences; d == nil || !d.Proved || d.Note != "" {
				t.Errorf("%s: %+v", tab.Name, d)
			}
		}
	}
}
