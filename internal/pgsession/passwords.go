package pgsession

import (
	"net/url"
	"strings"
)

// isSecret names the parameters that hold passwords.
func isSecret(key string) bool { return key == "password" || key == "sslpassword" }

// withoutPassword takes the passwords out of a connection string that was parsed before, and returns those of its
// parameters by name.
func withoutPassword(s string) (rest string, gone map[string]string) {
	gone = map[string]string{}
	rest = without(s, func(key, value string) bool {
		if k := strings.ToLower(key); isSecret(k) {
			gone[k] = value
			return true
		}
		return false
	})
	return rest, gone
}

// without takes the parameters that out names, and a URL's password, out of a connection string that was parsed before.
func without(s string, out func(key, value string) bool) string {
	if !isURL(s) {
		return pairsWithout(s, out)
	}
	// By hand and not by net/url, whose rules are others than libpq's.
	scheme, rest, _ := strings.Cut(s, "://")
	if i := strings.IndexAny(rest, "@/"); i >= 0 && rest[i] == '@' {
		user, _, _ := strings.Cut(rest[:i], ":")
		scheme, rest = scheme+"://"+user, rest[i:]
	} else {
		scheme += "://"
	}
	rest, query, _ := strings.Cut(rest, "?")
	var keep []string
	for _, kv := range strings.Split(query, "&") {
		k, v, _ := strings.Cut(kv, "=")
		if kv != "" && !out(strings.TrimSpace(unescaped(k)), unescaped(v)) {
			keep = append(keep, kv)
		}
	}
	if len(keep) > 0 {
		rest += "?" + strings.Join(keep, "&")
	}
	return scheme + rest
}

func isURL(s string) bool {
	return strings.HasPrefix(s, "postgres://") || strings.HasPrefix(s, "postgresql://")
}

func unescaped(s string) string {
	if u, err := url.PathUnescape(s); err == nil {
		return u
	}
	return s
}

// pairsWithout is without for key=value pairs.
func pairsWithout(s string, out func(key, value string) bool) string {
	var keep []string
	for {
		s = strings.TrimLeft(s, " \t\n\r\f\v")
		key, rest, ok := strings.Cut(s, "=")
		if !ok {
			return strings.Join(keep, " ")
		}
		v := strings.TrimLeft(rest, " \t\n\r\f\v")
		end, inQuotes := 0, strings.HasPrefix(v, "'")
		var value strings.Builder
		for i := 0; i < len(v); i++ {
			end = i + 1
			if v[i] == '\\' {
				i++
				end = min(i+1, len(v))
				value.WriteString(v[i:end])
			} else if inQuotes && v[i] == '\'' {
				if i > 0 {
					break
				}
			} else if !inQuotes && strings.IndexByte(" \t\n\r\f\v", v[i]) >= 0 {
				end = i
				break
			} else {
				value.WriteByte(v[i])
			}
		}
		key = strings.TrimRight(key, " \t\n\r\f\v")
		if !out(key, value.String()) {
			keep = append(keep, key+"="+v[:end])
		}
		s = v[end:]
	}
}

// with adds a parameter to a connection string.
func with(s, key, value string) string {
	switch {
	case !isURL(s):
		return strings.TrimSpace(s + " " + key + "='" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "'")
	case strings.Contains(s, "?"):
		return s + "&" + key + "=" + url.QueryEscape(value)
	}
	return s + "?" + key + "=" + url.QueryEscape(value)
}
