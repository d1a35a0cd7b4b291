// libcurl for Swift: `curl_easy_setopt`, `curl_easy_getinfo` and `curl_multi_setopt` are variadic, which Swift
// cannot import, so each argument type gets one typed inline wrapper here. The option must match the wrapper's
// type; curl/curl.h says which type an option takes.
#ifndef ROTA_CCURL_SHIM_H
#define ROTA_CCURL_SHIM_H

#include <curl/curl.h>

// curl/curl.h hides the functions behind type-checking macros; the wrappers pass exact types already.
#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_multi_setopt

typedef size_t (*rota_curl_data_callback)(char *bytes, size_t size, size_t count, void *user);
typedef int (*rota_curl_prereq_callback)(void *user, char *remote_ip, char *local_ip, int remote_port,
                                         int local_port);

static inline CURLcode rota_easy_set_long(CURL *easy, CURLoption option, long value) {
  return curl_easy_setopt(easy, option, value);
}

static inline CURLcode rota_easy_set_off(CURL *easy, CURLoption option, long long value) {
  return curl_easy_setopt(easy, option, (curl_off_t)value);
}

/// The string is copied by libcurl (true for every string option but POSTFIELDS).
static inline CURLcode rota_easy_set_string(CURL *easy, CURLoption option, const char *value) {
  return curl_easy_setopt(easy, option, value);
}

static inline CURLcode rota_easy_set_pointer(CURL *easy, CURLoption option, void *value) {
  return curl_easy_setopt(easy, option, value);
}

/// Copies `length` bytes as the request body.
static inline CURLcode rota_easy_set_body(CURL *easy, const void *bytes, long long length) {
  CURLcode code = curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)length);
  if (code != CURLE_OK) return code;
  return curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, length > 0 ? bytes : (const void *)"");
}

/// The list is borrowed: it must outlive the transfer.
static inline CURLcode rota_easy_set_headers(CURL *easy, struct curl_slist *list) {
  return curl_easy_setopt(easy, CURLOPT_HTTPHEADER, list);
}

static inline CURLcode rota_easy_set_write(CURL *easy, rota_curl_data_callback callback, void *user) {
  CURLcode code = curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, callback);
  if (code != CURLE_OK) return code;
  return curl_easy_setopt(easy, CURLOPT_WRITEDATA, user);
}

static inline CURLcode rota_easy_set_header(CURL *easy, rota_curl_data_callback callback, void *user) {
  CURLcode code = curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, callback);
  if (code != CURLE_OK) return code;
  return curl_easy_setopt(easy, CURLOPT_HEADERDATA, user);
}

static inline CURLcode rota_easy_set_prereq(CURL *easy, rota_curl_prereq_callback callback, void *user) {
  CURLcode code = curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, callback);
  if (code != CURLE_OK) return code;
  return curl_easy_setopt(easy, CURLOPT_PREREQDATA, user);
}

static inline CURLcode rota_easy_get_long(CURL *easy, CURLINFO info, long *value) {
  return curl_easy_getinfo(easy, info, value);
}

static inline CURLcode rota_easy_get_pointer(CURL *easy, CURLINFO info, void **value) {
  return curl_easy_getinfo(easy, info, value);
}

static inline CURLMcode rota_multi_set_long(CURLM *multi, CURLMoption option, long value) {
  return curl_multi_setopt(multi, option, value);
}

/// What a CURLMSG_DONE message says; its union is not reachable from Swift by a stable name.
static inline CURLcode rota_message_result(const CURLMsg *message) { return message->data.result; }

static const size_t rota_curl_writefunc_pause = CURL_WRITEFUNC_PAUSE;
static const long rota_curl_auth_basic = (long)CURLAUTH_BASIC;

#endif
