package mysession

import (
	"strconv"
	"strings"
)

// PassedOver returns the first comment of a definition that holds SQL for other servers than one of the version: that server would
// take the rest, and leave out what the comment says, without a word. It returns "" where there is none.
func PassedOver(sql string, v Version) string {
	for i := 0; i < len(sql); {
		switch c := sql[i]; {
		case c == '`':
			_, i = quotedName(sql, i)
		case c == '\'' || c == '"':
			i, _ = EndOfString(sql, i)
		case strings.HasPrefix(sql[i:], "/*!") || strings.HasPrefix(sql[i:], "/*M!"):
			end := len(sql)
			if n := strings.Index(sql[i:], "*/"); n >= 0 {
				end = i + n + 2
			}
			inner := afterComment(sql, i)
			if !runs(sql[i+2:inner], v) {
				return sql[i:end]
			}
			i = inner
		default:
			i++
		}
	}
	return ""
}

// runs reports whether the server runs what follows the beginning of a comment, as ! or M! and a version's digits.
func runs(mark string, v Version) bool {
	n, err := strconv.Atoi(strings.TrimLeft(mark, "M!"))
	switch {
	case mark[0] == 'M' && !v.MariaDB:
		return false
	case err != nil:
		return true // without a version it is for all
	case mark[0] != 'M' && v.MariaDB && n >= 50700 && n <= 99999:
		return false // of MySQL's versions that MariaDB knows nothing of
	}
	return n/10000*1000000+n/100%100*10000+n%100 <= v.Num
}
