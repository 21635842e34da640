package supervisor

import (
	"maps"
	"runtime"
	"slices"
	"strings"
)

// inherited reports whether a child gets this variable of the gateway's environment. The list is what a program needs to
// find itself, its user, its language, its caches, its certificates and the way out through a proxy; npx and uvx were
// the measure. Whatever carries credentials is missing on purpose, as are the names by which code is injected
// (LD_PRELOAD, NODE_OPTIONS, PYTHONSTARTUP, BASH_ENV, GIT_SSH_COMMAND): who wants one writes it into env.
func inherited(name string) bool {
	switch name {
	case "PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "TZ", "TMPDIR", "TMP", "TEMP",
		"LANG", "LANGUAGE", "NO_COLOR":
		return true
	case "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR":
		return true
	case "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy":
		return true
	case "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE":
		return true
	case "npm_config_cache", "npm_config_registry", "npm_config_prefix", "npm_config_userconfig",
		"NPM_CONFIG_CACHE", "NPM_CONFIG_REGISTRY", "NPM_CONFIG_PREFIX", "NPM_CONFIG_USERCONFIG",
		"NVM_DIR", "NVM_BIN", "VOLTA_HOME", "COREPACK_HOME", "PNPM_HOME", "BUN_INSTALL", "DENO_DIR":
		return true
	case "UV_CACHE_DIR", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_PYTHON", "UV_PYTHON_INSTALL_DIR", "UV_TOOL_DIR",
		"UV_NATIVE_TLS", "UV_OFFLINE", "PIP_INDEX_URL", "PIP_CONFIG_FILE", "PIPX_HOME", "PYENV_ROOT":
		return true
	case "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY":
		return true
	}
	return strings.HasPrefix(name, "LC_") || runtime.GOOS == "windows" && inheritedOnWindows(name)
}

// inheritedOnWindows names what programs do not start without there.
func inheritedOnWindows(name string) bool {
	switch strings.ToUpper(name) {
	case "PATH", "PATHEXT", "SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "TEMP", "TMP", "APPDATA", "LOCALAPPDATA",
		"USERPROFILE", "USERNAME", "HOMEDRIVE", "HOMEPATH", "PROGRAMDATA", "PROGRAMFILES", "PROGRAMFILES(X86)",
		"NUMBER_OF_PROCESSORS", "PROCESSOR_ARCHITECTURE":
		return true
	}
	return false
}

// environ is a child's whole environment, sorted: the inherited part of parent (NAME=value entries) and configured,
// which wins. An address with a user in it (a proxy, a package index) is not inherited.
func environ(parent []string, configured map[string]string) []string {
	set := make(map[string]string, len(configured)+16)
	for _, entry := range parent {
		name, value, ok := strings.Cut(entry, "=")
		if ok && inherited(name) && !mayHoldPassword(name, value) {
			set[name] = value
		}
	}
	maps.Copy(set, configured)
	env := make([]string, 0, len(set))
	for name, value := range set {
		env = append(env, name+"="+value)
	}
	slices.Sort(env)
	return env
}

// mayHoldPassword reports whether a variable that holds an address (of a proxy, a package index) has a user in it, in
// any of the spellings that programs take: what stands before the @ is often a token.
func mayHoldPassword(name, value string) bool {
	name = strings.ToLower(name)
	address := strings.Contains(name, "proxy") || strings.Contains(name, "index") || strings.Contains(name, "registry")
	return address && strings.Contains(value, "@")
}

// lookup is the value of name in env, the last entry winning as in the kernel's users.
func lookup(env []string, name string) string {
	for _, entry := range slices.Backward(env) {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}
