package scan_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/secret/scan"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const alnum = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// some gives n random characters of an alphabet, the last of them a digit.
func some(n int, of string) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = of[rand.IntN(len(of))]
	}
	b[n-1] = byte('0' + rand.IntN(10))
	return string(b)
}

// issued gives one secret in each format, by who issues it. They are made here,
// in pieces, and open nothing.
func issued() map[string]string {
	return map[string]string{
		"aws": "AKIA" + some(16, alnum[:26]), "aws session": "ASIA" + some(16, alnum[:26]),
		"github": "ghp_" + some(36, alnum), "github fine": "github_pat_" + some(22, alnum) + "_" + some(59, alnum),
		"gitlab": "glpat-" + some(20, alnum), "openai": "sk-" + some(48, alnum), "openai project": "sk-proj-" + some(60, alnum),
		"anthropic": "sk-ant-api03-" + some(80, alnum), "slack": "xoxb-" + some(12, "0123456789") + "-" + some(24, alnum),
		"slack app": "xapp-1-" + some(40, alnum), "google": "AIza" + some(35, alnum), "stripe": "sk_live_" + some(24, alnum),
		"npm": "npm_" + some(36, alnum), "hf": "hf_" + some(34, alnum), "vault": "hvs." + some(24, alnum),
		"sendgrid": "SG." + some(22, alnum) + "." + some(43, alnum), "age": "AGE-SECRET-KEY-1" + some(58, alnum[:26]),
		"jwt":  "eyJ" + some(20, alnum) + ".eyJ" + some(40, alnum) + "." + some(43, alnum),
		"hook": "hooks.slack.com/services/T" + some(8, alnum[:26]) + "/B" + some(8, alnum[:26]) + "/" + some(24, alnum),
		"own":  "mcp_" + some(12, alnum) + "_" + some(43, alnum) + "_" + some(6, alnum),
		"pem":  "-----BEGIN RSA PRIVATE KEY-----\n" + some(64, alnum) + "\n" + some(64, alnum) + "\n-----END RSA PRIVATE KEY-----",
	}
}

func TestFormatsOfIssuersAreFoundWhereverTheyStand(t *testing.T) {
	s := scan.New(nil)
	for issuer, secret := range issued() {
		for _, around := range []string{"%s", "x %s y", "(%s)", "key was %s.", "a=%s&b=1", "\"%s\"", "[%s,2]", "/p/%s/q", "x_%s", "\n%s\n"} {
			text := fmt.Sprintf(around, secret)
			if got := s.Text(text); strings.Contains(got, secret[len(secret)/2:]) || !strings.Contains(got, scan.Redacted) {
				t.Errorf("%s: Text(%q) = %q, want it redacted", issuer, text, got)
			}
			inJSON, _ := json.Marshal(map[string]string{"note": text})
			if got := string(s.JSON(inJSON)); strings.Contains(got, secret[len(secret)/2:]) {
				t.Errorf("%s: JSON(%s) = %s, want it redacted", issuer, inJSON, got)
			}
			if got := s.Text(string(inJSON)); strings.Contains(got, secret[len(secret)/2:]) {
				t.Errorf("%s: Text(%s) = %s, want it redacted", issuer, inJSON, got)
			}
		}
	}
}

func TestTextWithNamesOfSecrets(t *testing.T) {
	s := scan.New([]string{"Badge-Number"})
	s.Learn("correct horse battery")
	for _, tt := range []struct{ text, want string }{
		{"password=hunter2", "password=[redacted]"},
		{"password = 'hunter 2' x", "password = '[redacted]' x"},
		{`{"password":"hun\"ter2","n":1}`, `{"password":"[redacted]","n":1}`},
		{`{\"password\":\"hunter2\",\"n\":1}`, `{\"password\":\"[redacted]\",\"n\":1}`},
		{"DB_PASSWORD: hunter2\nuser: bob", "DB_PASSWORD: [redacted]\nuser: bob"},
		{"dbpassword: hunter2", "dbpassword: [redacted]"},
		{"passw0rd=hunter2", "passw0rd=[redacted]"},
		{"Authorization: Basic dXNlcjpwYXNz", "Authorization: [redacted]"},
		{"authorization: Bearer a.b c\nHost: x", "authorization: [redacted]\nHost: x"},
		{"sent Bearer abcdefgh12345678 to it", "sent Bearer [redacted] to it"},
		{"a bearer of good news came by", "a bearer of good news came by"},
		{"https://ada:lovelace@example.org/x", "https://ada:[redacted]@example.org/x"},
		{"https://example.org/x?access_token=abcdef&y=1", "https://example.org/x?access_token=[redacted]&y=1"},
		{"https://example.org/x?token%3Dabcdef", "https://example.org/x?token%3D[redacted]"},
		{"https://example.org:8080/a@b", "https://example.org:8080/a@b"},
		{"X-Amz-Signature=0123456789abcdef", "X-Amz-Signature=[redacted]"},
		{"max_tokens=4096 token_type=bearer", "max_tokens=4096 token_type=bearer"},
		{"key=monkey", "key=monkey"},
		{"key=8f14e45fceea167a5a36dedd4bea2543", "key=[redacted]"},
		{"api_key=monkey", "api_key=[redacted]"},
		{"cache key user:17", "cache key user:17"},
		{"aws_secret_access_key = wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY", "aws_secret_access_key = [redacted]"},
		{"badge_number: 12", "badge_number: [redacted]"},
		{"it was correct horse battery staple", "it was [redacted] staple"},
		{"password=${DB_PASSWORD}", "password=${DB_PASSWORD}"},
		{"token: null", "token: null"},
		{"secretName=db", "secretName=db"},
		{"the author: Ada, monkeys: 3", "the author: Ada, monkeys: 3"},
		{"id 123e4567-e89b-12d3-a456-426614174000", "id 123e4567-e89b-12d3-a456-426614174000"},
		{"commit 8f14e45fceea167a5a36dedd4bea25438f14e45f", "commit 8f14e45fceea167a5a36dedd4bea25438f14e45f"},
		{"task-based, desk-top, sk-learn", "task-based, desk-top, sk-learn"},
		{"password:", "password:"}, {"", ""},
		{`createUser({user: "a", pwd: passwordPrompt(), roles: []})`, `createUser({user: "a", pwd: passwordPrompt(), roles: []})`},
		{"password = getpass()", "password = getpass()"},
		{"password: this.getPassword()", "password: this.getPassword()"},
		{`token = os.getenv("GITHUB_TOKEN")`, `token = os.getenv("GITHUB_TOKEN")`},
		{"token: process.env.GITHUB_TOKEN, a", "token: process.env.GITHUB_TOKEN, a"},
		// Code-looking words that are not of such calls are what they were.
		{"password=hunter2()", "password=[redacted])"},
		{"password=swordfish()", "password=[redacted])"},
		{"password=getPassword", "password=[redacted]"},
		{"password=getPassword2()", "password=[redacted])"},
		{"password=passwordPrompt(x1)", "password=[redacted])"},
		{"password=passwordPrompt(", "password=[redacted]"},
		{"password='passwordPrompt()'", "password='[redacted]'"},
		{"password=get()hunter2", "password=[redacted])hunter2"},
		{"token=process.env.x7Kq2mPz", "token=[redacted]"},
		{"token=process.env.TOKENX7KQ2", "token=[redacted]"},
		{"Authorization: getToken() x", "Authorization: [redacted]"},
	} {
		if got := s.Text(tt.text); got != tt.want {
			t.Errorf("Text(%q)\n got %q\nwant %q", tt.text, got, tt.want)
		}
	}
}

func TestNamesOfSecrets(t *testing.T) {
	s := scan.New([]string{"badge number"})
	for name, want := range map[string]bool{
		"password": true, "userPassword": true, "PASSWORD": true, "db.password": true, "client_secret": true, "clientSecret": true,
		"apiKey": true, "api-key": true, "X-API-Key": true, "x-api-key": true, "APIKey": true, "token": true, "accessToken": true,
		"refresh_token": true, "auth": true, "Authorization": true, "Set-Cookie": true, "credentials": true, "private_key": true,
		"privateKey": true, "AWS_SECRET_ACCESS_KEY": true, "badgeNumber": true, "passwd": true, "authtoken": true, "p4ssw0rd": true,
		"author": false, "key": false, "keyboard": false, "tokenizer": false, "name": false, "token_type": false,
		"password_policy": false, "secret_name": false, "path": false, "primary_key": false, "": false, "_": false, "ключ": false,
	} {
		if got := s.Named(name); got != want {
			t.Errorf("Named(%q) = %v, want %v", name, got, want)
		}
	}
}

func TestJSONKeepsItsShape(t *testing.T) {
	s := scan.New(nil)
	for _, tt := range []struct{ text, want string }{
		{`{"user":"bob","password":"x"}`, `{"user":"bob","password":"[redacted]"}`},
		{`{"auth":{"user":"bob","n":5,"on":true,"l":["x",1]}}`, `{"auth":{"user":"[redacted]","n":5,"on":true,"l":["[redacted]",1]}}`},
		{`{"pin":1234,"password":1234,"max_tokens":5}`, `{"pin":1234,"password":"[redacted]","max_tokens":5}`},
		{`{"p\u0061ssword":"x"}`, `{"p\u0061ssword":"[redacted]"}`},
		{`{"a":"password=\u0068unter2"}`, `{"a":"password=[redacted]"}`},
		{`{"a":"{\"password\":\"hunter2\"}"}`, `{"a":"{\"password\":\"[redacted]\"}"}`},
		{`{"password":"","token":null,"secret":[]}`, `{"password":"","token":null,"secret":[]}`},
		{` [ 1 , "a" , { } ] `, `[1,"a",{}]`}, {`"x"`, `"x"`}, {`-1.5e3`, `-1.5e3`}, {`{}`, `{}`},
		{`{"key":"monkey","a":{"key":"8f14e45fceea167a5a36dedd4bea2543"}}`, `{"key":"monkey","a":{"key":"[redacted]"}}`},
	} {
		if got := string(s.JSON([]byte(tt.text))); got != tt.want {
			t.Errorf("JSON(%s)\n got %s\nwant %s", tt.text, got, tt.want)
		}
	}
}

func TestAViewIsBoundedAndValid(t *testing.T) {
	s := scan.New(nil)
	secret := "ghp_" + some(36, alnum)
	long := map[string]any{"a": strings.Repeat("é", 5000), "b": strings.Repeat("x", 495) + " " + secret, "c": []string{"1", "2"}, "password": "x"}
	for i := range 300 {
		long[fmt.Sprint("m", i)] = []any{i, map[string]any{"deep": []int{1, 2, 3}}}
	}
	raw, _ := json.Marshal(long)
	escaped := []byte(`["` + strings.Repeat(`\u00e9\\\"`, 50_000) + ` ` + secret + `"]`)
	if view := s.AppendView(nil, escaped, 600); !json.Valid(view) || len(view) > 4000 || !bytes.HasPrefix(view, []byte(`["é`)) {
		t.Errorf("a view of a long text of escapes is %.80s", view)
	}
	for _, most := range []int{16, 64, 600, 1200, 2048, 1 << 20} {
		view := s.AppendView([]byte("before"), raw, most)[len("before"):]
		if !json.Valid(view) {
			t.Fatalf("a view of at most %d bytes is not JSON: %s", most, view)
		}
		if len(view) > most+2048 {
			t.Errorf("a view of at most %d bytes has %d", most, len(view))
		}
		if bytes.Contains(view, []byte(secret[:12])) {
			t.Errorf("a view of at most %d bytes has a part of a secret that was cut: %s", most, view)
		}
	}
}

// canaries are texts that must not be seen again, each in a place of its own kind.
func canaries(n int) (lines []slog.Attr, secrets []string) {
	kinds := issued()
	for len(lines) < n {
		for _, secret := range kinds {
			lines = append(lines, slog.String("note", "it said "+secret))
			secrets = append(secrets, secret)
		}
		for _, name := range []string{"password", "apiKey", "Authorization", "client_secret", "token"} {
			secret := some(20, alnum)
			lines, secrets = append(lines, slog.String(name, secret)), append(secrets, secret)
			text := some(20, alnum)
			lines, secrets = append(lines, slog.String("err", name+": "+text)), append(secrets, text)
		}
		kinds = issued()
	}
	return lines, secrets
}

func TestNoneOfAThousandCanariesReachesTheLog(t *testing.T) {
	s := scan.New(nil)
	lines, secrets := canaries(1000)
	known := "plain words that are a passphrase of ours"
	s.Learn(known)
	type inner struct{ Password, Note string }
	for _, form := range []string{"json", "text", "json by the line", "text by the line"} {
		var out bytes.Buffer
		var h slog.Handler
		switch form {
		case "json":
			h = s.Handler(slog.NewJSONHandler(&out, nil))
		case "text":
			h = s.Handler(slog.NewTextHandler(&out, nil))
		case "json by the line":
			h = slog.NewJSONHandler(s.Writer(&out), nil)
		case "text by the line":
			h = slog.NewTextHandler(s.Writer(&out), nil)
		}
		log := slog.New(h)
		for i, a := range lines {
			log.Info("plain", a)
			said := "note"
			if a.Key == "note" || a.Key == "err" {
				said = a.Value.String()
			}
			log.Info(said+" "+known, "err", fmt.Errorf("call it: %w", errors.New(said+" password="+secrets[i])))
			if a.Key != "note" && a.Key != "err" {
				log.With(a).WithGroup("g").Info("bound", "any", map[string]any{a.Key: []string{secrets[i]}}, "n", 5)
				log.Info("struct", "any", inner{secrets[i], "x"}, "bytes", []byte("password="+secrets[i]), slog.Group("g", a))
			}
		}
		hits := 0
		for _, secret := range append(secrets, known) {
			quoted, _ := json.Marshal(secret)
			if strings.Contains(out.String(), secret) || strings.Contains(out.String(), string(quoted[1:len(quoted)-1])) {
				hits++
				if hits < 4 {
					at := strings.Index(out.String(), secret)
					t.Errorf("%s: %q is in the log: …%s", form, secret, out.String()[max(at-60, 0):at+len(secret)])
				}
			}
		}
		if hits > 0 || len(secrets) < 1000 {
			t.Errorf("%s: %d of %d canaries found", form, hits, len(secrets))
		}
		if strings.HasPrefix(form, "json") {
			for line := range strings.Lines(out.String()) {
				if !json.Valid([]byte(line)) {
					t.Fatalf("%s: a line is no JSON any more: %s", form, line)
				}
			}
		}
	}
}

func TestALogWithoutSecretsIsNotChanged(t *testing.T) {
	var plain, scanned bytes.Buffer
	noTime := &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}
	for _, log := range []*slog.Logger{slog.New(slog.NewJSONHandler(&plain, noTime)),
		slog.New(scan.New(nil).Handler(slog.NewJSONHandler(&scanned, noTime)))} {
		log.With("server", "files").WithGroup("g").Info("call", "tool", "read_file", "n", 5, "err", io.EOF,
			"list", []int{1, 2}, slog.Group("in", "ok", true), "nothing", nil, "b", []byte("abc"))
	}
	if plain.String() != scanned.String() {
		t.Errorf("got  %swant %s", scanned.String(), plain.String())
	}
}

func TestAWriterHoldsLinesTogether(t *testing.T) {
	var out bytes.Buffer
	w := scan.New(nil).Writer(&out)
	for _, part := range []string{"pass", "word=hun", "ter2\nuser", "=bob\n", "to", "ken=abcdef"} {
		if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatalf("Write(%q) = %d, %v", part, n, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if want := "password=[redacted]\nuser=bob\ntoken=[redacted]"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestTheTimeGrowsAsTheTextDoes(t *testing.T) {
	s := scan.New(nil)
	took := func(text string) time.Duration {
		begun := time.Now()
		_ = s.Text(text)
		return time.Since(begun)
	}
	for _, part := range []string{"key=", "password={", "password=${", "token=1 ", "sk-", "eyJ-", "eyJ.", "-----BEGIN ", "https://a:", "://a@",
		`key="`, `key='\`, "auth:[1 ", "a-", "Bearer ", "authorization: ", "secret=[", `\u`, "ghp_", "key: ", "_", "pass:\n"} {
		const n = 20_000
		little, much := strings.Repeat(part, n/len(part)), strings.Repeat(part, 16*n/len(part))
		short, long := time.Hour, time.Hour
		// The best of each counts: a machine that does something else makes single ones slow, and time that grows as
		// the square does makes all of them 256 times as long.
		for tries := 0; tries < 200 && (tries < 3 || long > 100*max(short, 50*time.Microsecond)); tries++ {
			short, long = min(short, took(little)), min(long, took(much))
		}
		if long > 100*max(short, 50*time.Microsecond) {
			t.Errorf("%q: %d bytes take %s, 16 times as many %s", part, n, short, long)
		}
	}
}

func TestLearningIsBounded(t *testing.T) {
	s := scan.New(nil)
	for i := range 11 {
		batch := make([]string, 1000)
		for j := range batch {
			batch[j] = fmt.Sprintf("learned %d-%d!", i, j)
		}
		s.Learn(batch...)
	}
	s.Learn("short", "learned 10-999!")
	if got := s.Text("learned 0-5! learned 10-5! short"); got != "learned 0-5! [redacted] short" {
		t.Errorf("got %q: the oldest should be forgotten, the newest known, short ones never", got)
	}
}

func FuzzScan(f *testing.F) {
	f.Add(`{"password":"x","a":["ghp_abcdefghijklmnopqrstuvwxyz0123456789"]}`, 64)
	f.Add(`"-----BEGIN PRIVATE KEY-----"`, 8)
	f.Add(`https://a:b@c Bearer 0123456789abcdef Authorization: x`, 100)
	s := scan.New([]string{"x"})
	s.Learn("12345678", "abcdefghij")
	f.Fuzz(func(t *testing.T, text string, most int) {
		once := s.Text(text)
		if twice := s.Text(once); len(twice) > 2*len(once)+64 {
			t.Errorf("Text grows: %q, then %q", once, twice)
		}
		if most < 8 || most > 1<<16 || !json.Valid([]byte(text)) {
			return
		}
		if view := s.AppendView(nil, []byte(text), most); !json.Valid(view) {
			t.Errorf("AppendView(%q, %d) = %q, which is not JSON", text, most, view)
		}
		if whole := s.JSON([]byte(text)); !json.Valid(whole) {
			t.Errorf("JSON(%q) = %q, which is not JSON", text, whole)
		}
	})
}

var testTime = time.Unix(1, 0)

var line = []byte(`{"time":"2026-11-21T05:00:00.000000Z","level":"INFO","msg":"call","method":"tools/call","tool":"files__read_file","revision":"2026-07-28","transport":"tcp","duration_ms":1.234,"request_id":"ABCDEFGHIJKLMNOPQRSTUVWXYZ","trace_id":"0af7651916cd43dd8448eb211c80319c","principal":"ada"}` + "\n")

func BenchmarkScan(b *testing.B) {
	s := scan.New(nil)
	learned := scan.New(nil)
	for i := range 100 {
		learned.Learn(fmt.Sprintf("secret number %d of ours", i*7919))
	}
	arguments := []byte(`{"path":"/home/ada/notes/today.md","limit":100,"options":{"encoding":"utf-8","follow":false},"text":"` +
		strings.Repeat("The quick brown fox jumps over the lazy dog. ", 18) + `"}`)
	b.Run(fmt.Sprintf("a log line of %d bytes", len(line)), func(b *testing.B) {
		w := s.Writer(io.Discard)
		for b.Loop() {
			_, _ = w.Write(line)
		}
	})
	b.Run("the same with 100 known secrets", func(b *testing.B) {
		w := learned.Writer(io.Discard)
		for b.Loop() {
			_, _ = w.Write(line)
		}
	})
	b.Run(fmt.Sprintf("a view of %d bytes of arguments", len(arguments)), func(b *testing.B) {
		var dst []byte
		for b.Loop() {
			dst = s.AppendView(dst[:0], arguments, 2048)
		}
	})
	record := slog.NewRecord(testTime, slog.LevelInfo, "call", 0)
	record.AddAttrs(slog.String("server", "files"), slog.String("tool", "read_file"), slog.Float64("duration_ms", 1.2), slog.String("principal", "ada"))
	ctx := context.Background()
	for name, h := range map[string]slog.Handler{"slog without": slog.NewJSONHandler(io.Discard, nil),
		"slog with the scanner": s.Handler(slog.NewJSONHandler(io.Discard, nil))} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				_ = h.Handle(ctx, record)
			}
		})
	}
}

func TestALineOfAPrivateKeyIsKnownByTheLinesBeforeIt(t *testing.T) {
	body := []string{some(60, alnum), some(60, alnum), some(17, alnum) + "=="}
	full := "aB3" + some(61, alnum)
	for _, tt := range []struct {
		name        string
		lines, want []string
	}{
		{"a key",
			[]string{"loading", "-----BEGIN PRIVATE KEY-----", body[0], body[1], body[2], "-----END PRIVATE KEY-----", "done with the rest"},
			[]string{"loading", "[redacted]", "[redacted]", "[redacted]", "[redacted]", "[redacted]", "done with the rest"}},
		{"a key of the old form, with something before each line",
			[]string{"E | key: -----BEGIN RSA PRIVATE KEY-----", "E | Proc-Type: 4,ENCRYPTED", "E | " + body[0], "E | x"},
			[]string{"E | key: [redacted]", "[redacted]", "[redacted]", "E | x"}},
		{"lines that are quoted",
			[]string{"> -----BEGIN EC PRIVATE KEY-----", "> " + body[0], "> -----END EC PRIVATE KEY-----", body[1]},
			[]string{"> [redacted]", "[redacted]", "[redacted]", body[1]}},
		{"a key that is cut off",
			[]string{"-----BEGIN PRIVATE KEY-----", body[0], "panic: it does not parse", body[1]},
			[]string{"[redacted]", "[redacted]", "panic: it does not parse", body[1]}},
		{"a public key", []string{"-----BEGIN PUBLIC KEY-----", body[0]}, []string{"-----BEGIN PUBLIC KEY-----", body[0]}},
		{"a key in one line",
			[]string{"-----BEGIN PRIVATE KEY----- " + body[0] + " -----END PRIVATE KEY----- ok", body[1]}, []string{"[redacted] ok", body[1]}},
		{"a line of a key whose beginning was lost", []string{full, full + "x", strings.ToLower(full)}, []string{"[redacted]", full + "x", strings.ToLower(full)}},
		{"other secrets", []string{"password=hunter2", "fine"}, []string{"password=[redacted]", "fine"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			clean := scan.New(nil).Lines()
			for i, line := range tt.lines {
				if got := clean(line); got != tt.want[i] {
					t.Errorf("line %d, %q: got %q, want %q", i, line, got, tt.want[i])
				}
			}
		})
	}
	clean := scan.New(nil).Lines()
	clean("-----BEGIN PRIVATE KEY-----")
	for i := range 1000 {
		if got := clean(body[0]); i > 500 && got != body[0] {
			t.Fatalf("line %d after the beginning of a key: got %q, want it as it is: no key is that long", i, got)
		}
	}
}
