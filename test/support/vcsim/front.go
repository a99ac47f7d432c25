// What stands before the simulator's own handler: who may log in, cookies that are not session keys, the log of
// calls, and the rules with which a test makes calls late, lost, refused or long.
package main

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

//go:embed vimService.wsdl
var description []byte

const (
	bodyBytesMax = 16 << 20
	callsMax     = 10_000
	recordedMax  = 32 << 10
)

// call is what the log keeps of a request.
type call struct {
	Seq     int               `json:"seq"`
	Method  string            `json:"method"`
	Object  string            `json:"object"`
	User    string            `json:"user"`
	Session string            `json:"session"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
	// State goes from arrived to executed, refused (a fault was answered), or canceled (a task that never ran).
	State    string `json:"state"`
	Status   int    `json:"status"`
	Answered bool   `json:"answered"`
}

type front struct {
	service *simulator.Service
	inner   http.Handler
	users   map[string]string

	mu      sync.Mutex
	calls   []*call
	dropped int
	seq     int
	rules   []*rule
	// cookie value → session key. On a real vCenter the two differ; here they must, or tests would prove too little.
	cookies map[string]string
	tasks   map[string]*heldTask
	// id → user
	restSessions map[string]string
	// id → status
	restTasks map[string]string
}

func newFront(service *simulator.Service, inner http.Handler, users map[string]string) *front {
	return &front{
		service:      service,
		inner:        inner,
		users:        users,
		cookies:      map[string]string{},
		tasks:        map[string]*heldTask{},
		restSessions: map[string]string{},
		restTasks:    map[string]string{},
	}
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet && r.URL.Path == "/sdk/vimService.wsdl" {
		w.Header().Set("Content-Type", "text/xml; charset=utf-8")
		_, _ = w.Write(description)
		return
	}
	if r.URL.Path == restPath {
		f.answerRest(w, r)
		return
	}
	if f.answerVMs(w, r) {
		return
	}
	key := f.translateCookie(r)
	if r.Method != http.MethodPost || !strings.HasPrefix(r.URL.Path, "/sdk") {
		f.inner.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyBytesMax))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	method, err := simulator.UnmarshalBody(typeOf, body)
	if err != nil {
		writeFault(w, "InvalidRequest", err.Error())
		return
	}
	session := f.sessionOf(key)
	entry := f.record(r, method, session, key, body)
	matched := f.match(method.Name)

	matched.waitBefore()
	// The session may have been terminated while the call waited.
	session = f.sessionOf(key)

	answer := httptest.NewRecorder()
	switch {
	case matched.is("status"):
		answer.Code = matched.Status
	case method.Name == "Login" && !f.mayLogIn(method):
		writeFault(answer, "InvalidLogin", "Login failure")
	case f.answerAccounts(answer, method, session):
	case method.Name == "CancelTask" && session != nil:
		f.cancelTask(answer, method)
	case matched.is("task") && session != nil && strings.HasSuffix(method.Name, "_Task"):
		f.hold(answer, matched, entry, method, session, r, body)
	default:
		f.execute(answer, r, key, body)
		f.nameStarter(method.Name, answer, session)
	}
	f.settle(entry, answer.Code)

	matched.waitAfter()
	if matched.is("drop") {
		f.hangUp(w)
		return
	}
	f.translateAnswer(answer)
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
	f.change(func() { entry.Answered = true })
}

// execute runs the call in the simulator; a panic of the simulator becomes a fault, as a server's bug would.
func (f *front) execute(w *httptest.ResponseRecorder, r *http.Request, key string, body []byte) {
	defer func() {
		if reason := recover(); reason != nil {
			log.Printf("the simulator panicked: %v", reason)
			*w = *httptest.NewRecorder()
			writeFault(w, "SystemError", fmt.Sprintf("the simulator panicked: %v", reason))
		}
	}()
	inner, err := http.NewRequest(http.MethodPost, r.URL.Path, bytes.NewReader(body))
	if err != nil {
		writeFault(w, "InvalidRequest", err.Error())
		return
	}
	inner.RemoteAddr = r.RemoteAddr
	inner.TLS = r.TLS
	inner.Header.Set("User-Agent", r.UserAgent())
	if key != "" {
		inner.AddCookie(&http.Cookie{Name: soap.SessionCookieName, Value: key})
	}
	f.inner.ServeHTTP(w, inner)
}

func (f *front) hangUp(w http.ResponseWriter) {
	if hijacker, ok := w.(http.Hijacker); ok {
		if connection, _, err := hijacker.Hijack(); err == nil {
			_ = connection.Close()
		}
	}
}

func (f *front) mayLogIn(method *simulator.Method) bool {
	if len(f.users) == 0 {
		return true
	}
	login, ok := method.Body.(*types.Login)
	if !ok {
		return false
	}
	password, known := f.users[login.UserName]
	return known && password == login.Password
}

func (f *front) record(r *http.Request, method *simulator.Method, session *types.UserSession, key string, body []byte) *call {
	headers := map[string]string{}
	for name, values := range r.Header {
		if name != "Cookie" {
			headers[strings.ToLower(name)] = strings.Join(values, ", ")
		}
	}
	text := string(body)
	if method.Name == "Login" {
		text = "" // a password has no place in a log
	} else if len(text) > recordedMax {
		text = text[:recordedMax]
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seq++
	entry := &call{Seq: f.seq, Method: method.Name, Object: method.This.Value, Session: key, Headers: headers, Body: text, State: "arrived"}
	if session != nil {
		entry.User = session.UserName
	}
	if len(f.calls) == callsMax {
		f.calls = f.calls[1:]
		f.dropped++
	}
	f.calls = append(f.calls, entry)
	return entry
}

func (f *front) settle(entry *call, status int) {
	f.change(func() {
		entry.Status = status
		if entry.State == "arrived" {
			entry.State = "executed"
			if status != http.StatusOK {
				entry.State = "refused"
			}
		}
	})
}

func (f *front) change(apply func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	apply()
}

// translateCookie puts the session's key where the simulator looks for it, and returns it; empty where there is none.
func (f *front) translateCookie(r *http.Request) string {
	cookie, err := r.Cookie(soap.SessionCookieName)
	r.Header.Del("Cookie")
	if err != nil {
		return ""
	}
	f.mu.Lock()
	key := f.cookies[strings.Trim(cookie.Value, `"`)]
	f.mu.Unlock()
	if key != "" {
		r.AddCookie(&http.Cookie{Name: soap.SessionCookieName, Value: key})
	}
	return key
}

func (f *front) translateAnswer(answer *httptest.ResponseRecorder) {
	for _, cookie := range answer.Result().Cookies() {
		if cookie.Name != soap.SessionCookieName {
			continue
		}
		sum := sha256.Sum256([]byte("cookie of " + cookie.Value))
		value := hex.EncodeToString(sum[:20])
		f.change(func() { f.cookies[value] = cookie.Value })
		answer.Header().Set("Set-Cookie", fmt.Sprintf("%s=%q; Path=/; HttpOnly", soap.SessionCookieName, value))
	}
}

func (f *front) sessionOf(key string) *types.UserSession {
	if key == "" {
		return nil
	}
	for _, session := range f.sessions() {
		if session.Key == key {
			return &session
		}
	}
	return nil
}

func typeOf(name string) (reflect.Type, bool) {
	find := types.TypeFunc()
	if found, ok := find(name); ok {
		return found, true
	}
	if _, local, prefixed := strings.Cut(name, ":"); prefixed {
		return find(local)
	}
	return nil, false
}

func writeFault(w http.ResponseWriter, kind string, message string) {
	var escaped bytes.Buffer
	_ = escapeText(&escaped, message)
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	w.WriteHeader(http.StatusInternalServerError)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?>`+
		`<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">`+
		`<soapenv:Body><soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>%s</faultstring>`+
		`<detail><%sFault xmlns="urn:vim25" xsi:type="%s"></%sFault></detail></soapenv:Fault></soapenv:Body></soapenv:Envelope>`,
		escaped.String(), kind, kind, kind)
}

// writeDenied names the privilege that would be needed, as vCenter does.
func writeDenied(w http.ResponseWriter, privilege string) {
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	w.WriteHeader(http.StatusInternalServerError)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?>`+
		`<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">`+
		`<soapenv:Body><soapenv:Fault><faultcode>ServerFaultCode</faultcode>`+
		`<faultstring>Permission to perform this operation was denied.</faultstring>`+
		`<detail><NoPermissionFault xmlns="urn:vim25" xsi:type="NoPermission"><object type="Folder">group-d1</object>`+
		`<privilegeId>%s</privilegeId></NoPermissionFault></detail></soapenv:Fault></soapenv:Body></soapenv:Envelope>`, privilege)
}

func writeAnswer(w http.ResponseWriter, method string, inner string) {
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	w.WriteHeader(http.StatusOK)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?>`+
		`<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/">`+
		`<soapenv:Body><%sResponse xmlns="urn:vim25">%s</%sResponse></soapenv:Body></soapenv:Envelope>`,
		method, inner, method)
}

func sleepOrRelease(limit time.Duration, forever bool, released <-chan struct{}) {
	if forever {
		<-released
		return
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-released:
	}
}
