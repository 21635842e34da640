package elicit

import "testing"

func TestHowLinksAreRead(t *testing.T) {
	tests := []struct{ link, text, host string }{
		{"https://example.org", "https://example.org", "example.org"},
		{"HTTPS://Example.ORG/Path", "HTTPS://Example.ORG/Path", "example.org"},
		{"https://example.org:8443/a?b#c", "https://example.org:8443/a?b#c", "example.org"},
		{"https://example.org./", "https://example.org./", "example.org."},
		{"https://intranet/a@b", "https://intranet/a@b", "intranet"},
		{"https://my_host.example.org/", "https://my_host.example.org/", "my_host.example.org"},
		{"https://192.0.2.1/", "https://192.0.2.1/", "192.0.2.1"},
		{"https://[2001:db8::1]:443/", "https://[2001:db8::1]:443/", "2001:db8::1"},
		{"http://localhost:3000/cb", "http://localhost:3000/cb", "localhost"},
		{"http://[::1]/", "http://[::1]/", "::1"},
		{"https://example.org/a b?c d#\"<>^`{|}\\@x", "https://example.org/a b?c d#\"<>^`{|}\\@x", "example.org"},
		// Letters of other scripts, and what looks like a slash or a dot.
		{"https://bücher.example/", "https://xn--bcher-kva.example/", "xn--bcher-kva.example"},
		{"https://аpple.com/", "https://xn--pple-43d.com/", "xn--pple-43d.com"},
		{"https://xn--pple-43d.com/", "https://xn--pple-43d.com/", "xn--pple-43d.com"},
		{"https://ｅｘａｍｐｌｅ．org/", "https://example.org/", "example.org"},
		{"https://example。org/", "https://example.org/", "example.org"},
		{"https://example.org/ä\u202e", "https://example.org/%C3%A4%E2%80%AE", "example.org"},
		{"https://good.example\u2044evil.example/", "https://good.xn--exampleevil-lx3f.example/", "good.xn--exampleevil-lx3f.example"},
		// What is refused.
		{"", "", ""},
		{"example.org", "", ""},
		{"//example.org", "", ""},
		{"https:example.org", "", ""},
		{"https:/example.org", "", ""},
		{"https:///example.org", "", ""},
		{`https:\\example.org`, "", ""},
		{`https://good.example\@evil.example/`, "", ""},
		{`https://good.example\.evil.example/`, "", ""},
		{"https://user@example.org", "", ""},
		{"https://user:pass@example.org", "", ""},
		{"https://good.example:443@evil.example", "", ""},
		{"https://@example.org", "", ""},
		{"https://exa\tmple.org", "", ""},
		{"https://example.org/\n", "", ""},
		{" https://example.org", "", ""},
		{"https://exa mple.org/", "", ""},
		{"https://exa%6Dple.org", "", ""},
		{"https://example.org:x/", "", ""},
		{"https://example.org:/", "", ""},
		{"https://example..org/", "", ""},
		{"https://127.1/", "", ""},
		{"https://0x7f.1/", "", ""},
		{"https://2130706433/", "", ""},
		{"https://0300.0250.0.1/", "", ""},
		{"https://[::1%25eth0]/", "", ""},
		{"https://[::1/", "", ""},
		{"https://xn--a/", "", ""},
		{"https://good.example\uff0fevil.example/", "", ""},
		{"https://good.example\u3000.evil.example/", "", ""},
		{"http://example.org", "", ""},
		{"http://localhost.evil.example", "", ""},
		{"http://127.0.0.1.evil.example", "", ""},
		{"ftp://example.org", "", ""},
		{"data:text/html,x", "", ""},
		{"file:///etc/passwd", "", ""},
		{"javascript://example.org/%0aalert(1)", "", ""},
		{"vscode://file/x", "", ""},
	}
	for _, test := range tests {
		got, problem := readLink(test.link)
		if test.text == "" && problem == "" {
			t.Errorf("%q is read as %+v, want it refused", test.link, got)
		}
		if test.text != "" && (problem != "" || got.text != test.text || got.host != test.host) {
			t.Errorf("%q is read as %+v (%s), want %q and host %q", test.link, got, problem, test.text, test.host)
		}
	}
}
