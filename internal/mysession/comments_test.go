package mysession

import "testing"

func TestPassedOver(t *testing.T) {
	t.Parallel()
	maria, old, nine := Version{MariaDB: true, Num: 10110019}, Version{Num: 8000022}, Version{Num: 9070004}
	for _, c := range []struct {
		sql               string
		maria, old, newer string
	}{
		{"`h` int /*!80023 INVISIBLE */ DEFAULT 7", "/*!80023 INVISIBLE */", "/*!80023 INVISIBLE */", ""},
		{"`t` text /*M!100301 COMPRESSED*/", "", "/*M!100301 COMPRESSED*/", "/*M!100301 COMPRESSED*/"},
		{"`t` text /*!100301 COMPRESSED*/", "", "/*!100301 COMPRESSED*/", "/*!100301 COMPRESSED*/"},
		{") /*!50100 PARTITION BY HASH (`a`) */ /* a word */ /*! x */", "", "", ""},
		{"'/*!80023 INVISIBLE */' COMMENT \"/*M!1 '*/\" `/*!99999 */`", "", "", ""},
		{"/*!50100 a */ /*!80016 NOT ENFORCED */", "/*!80016 NOT ENFORCED */", "", ""},
		{"/*!99999 open", "/*!99999 open", "/*!99999 open", "/*!99999 open"},
	} {
		for i, v := range []Version{maria, old, nine} {
			want := []string{c.maria, c.old, c.newer}[i]
			if got := PassedOver(c.sql, v); got != want {
				t.Errorf("%s, %d: %q instead of %q", c.sql, v.Num, got, want)
			}
		}
	}
}

// TestTableText: on MySQL a column's charset goes where its collation tells it, and nowhere else.
func TestTableText(t *testing.T) {
	t.Parallel()
	const in = "CREATE TABLE `t` (\n  `a` text CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT (_utf8mb4'CHARACTER SET x COLLATE y'),\n  `b` char(1) CHARACTER SET latin1,\n" +
		"  `c` text GENERATED ALWAYS AS (cast(`a` as char(5) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin)) VIRTUAL\n) DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"
	const want = "CREATE TABLE `t` (\n  `a` text COLLATE utf8mb4_bin DEFAULT (_utf8mb4'CHARACTER SET x COLLATE y'),\n  `b` char(1) CHARACTER SET latin1,\n" +
		"  `c` text GENERATED ALWAYS AS (cast(`a` as char(5) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin)) VIRTUAL\n) DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"
	if got := TableText(in, "d", Version{Num: 9070004}); got != want {
		t.Error(got)
	}
	if got := TableText(in, "d", Version{MariaDB: true, Num: 10110019}); got != in {
		t.Error(got)
	}
}

// TestCountZero: MySQL leaves out what can't be NULL when it asks whether it is.
func TestCountZero(t *testing.T) {
	t.Parallel()
	for charset, counter := range map[string]string{"utf8mb4": Zeros, "latin1": Zeros, "ucs2": WideZeros, "utf16le": WideZeros} {
		want := "IF(@v1 = CAST(CONVERT('0' USING " + charset + ") AS BINARY) AND (" + counter + " := COALESCE(" + counter + ", 0) + 1) < 1, NULL, @v1)"
		if got := CountZero("@v1", "0", charset); got != want {
			t.Error(got)
		}
	}
}
