/*
 * Implements Windows' tbs.dll with a swtpm, for tests on other systems and, as tbs.dll, for tests under Wine.
 *
 * Settings, read from the environment at each call:
 *   TBS_SOCKET     path of the swtpm's data socket
 *   TBS_PORT       its port on 127.0.0.1 instead, for Windows
 *   TBS_CREATE     HRESULT that Tbsi_Context_Create returns instead of working
 *   TBS_INFO       HRESULT that Tbsi_GetDeviceInfo returns
 *   TBS_VERSION    tpmVersion of TPM_DEVICE_INFO (default 2)
 *   TBS_INTERFACE  tpmInterfaceType of TPM_DEVICE_INFO (default 4)
 *   TBS_SUBMIT     HRESULT that Tbsip_Submit_Command returns without contacting the TPM and without writing its
 *                  output
 *   TBS_BARE       1: an error code of the TPM is returned as HRESULT 0x80280000 + code, without the answer;
 *                  2: with the answer; 3: with an answer that claims success
 *   TBS_SLOW_MS    how long Tbsip_Submit_Command waits before it sends the command, unless it is canceled
 *   TBS_WAITING    path of a file that is created when this wait begins
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#ifdef _WIN32
#include <winsock2.h>
#define CALL __declspec(dllexport) __stdcall
#define MSG_NOSIGNAL 0
#else
#include <sys/socket.h>
#include <sys/un.h>
#define CALL
#define closesocket close
#define SOCKET int
#define INVALID_SOCKET -1
#endif

#define TBS_BAD_PARAMETER 0x80284002u
#define TBS_INVALID_CONTEXT 0x80284004u
#define TBS_INSUFFICIENT_BUFFER 0x80284005u
#define TBS_IOERROR 0x80284006u
#define TBS_COMMAND_CANCELED 0x8028400du

typedef struct {
	uint32_t magic;
	SOCKET socket;
	int running, canceled;
	pthread_mutex_t lock;
	pthread_cond_t wake;
} context;

typedef struct { uint32_t version, flags; } context_params2;
typedef struct { uint32_t struct_version, tpm_version, interface_type, revision; } device_info;

#define MAGIC 0x54425331u

/* The current value of an environment variable, or NULL. */
static const char *text_setting(const char *name, char *buffer, size_t size)
{
#ifdef _WIN32
	/* getenv sees only variables that were set when the process started. */
	DWORD length = GetEnvironmentVariableA(name, buffer, (DWORD)size);
	return length > 0 && length < size ? buffer : NULL;
#else
	const char *text = getenv(name);
	return text && *text && (size_t)snprintf(buffer, size, "%s", text) < size ? buffer : NULL;
#endif
}

static uint32_t setting(const char *name, uint32_t otherwise)
{
	char buffer[32];
	const char *text = text_setting(name, buffer, sizeof buffer);
	return text ? (uint32_t)strtoul(text, NULL, 0) : otherwise;
}

/* A connection to the swtpm, or INVALID_SOCKET. */
static SOCKET connect_to_swtpm(void)
{
#ifdef _WIN32
	struct sockaddr_in address = { .sin_family = AF_INET };
	WSADATA data;

	if (WSAStartup(MAKEWORD(2, 2), &data))
		return INVALID_SOCKET;
	address.sin_port = htons((u_short)setting("TBS_PORT", 0));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
#else
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (!text_setting("TBS_SOCKET", address.sun_path, sizeof address.sun_path))
		return INVALID_SOCKET;
#endif
	SOCKET fd = socket(((struct sockaddr *)&address)->sa_family, SOCK_STREAM, 0);
	if (fd != INVALID_SOCKET && connect(fd, (struct sockaddr *)&address, sizeof address)) {
		closesocket(fd);
		return INVALID_SOCKET;
	}
	return fd;
}

static uint32_t uint32_at(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

uint32_t CALL Tbsi_Context_Create(const context_params2 *params, void **out)
{
	uint32_t wanted = setting("TBS_CREATE", 0);
	context *c;

	if (wanted)
		return wanted;
	if (!params || params->version != 2 || params->flags != 4 || !out)
		return TBS_BAD_PARAMETER;
	c = calloc(1, sizeof *c);
	if (!c)
		return TBS_IOERROR;
	c->socket = connect_to_swtpm();
	if (c->socket == INVALID_SOCKET) {
		free(c);
		return TBS_IOERROR;
	}
	c->magic = MAGIC;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->wake, NULL);
	*out = c;
	return 0;
}

uint32_t CALL Tbsi_GetDeviceInfo(uint32_t size, device_info *info)
{
	uint32_t wanted = setting("TBS_INFO", 0);

	if (wanted)
		return wanted;
	if (size != sizeof *info || !info)
		return TBS_BAD_PARAMETER;
	info->struct_version = 1;
	info->tpm_version = setting("TBS_VERSION", 2);
	info->interface_type = setting("TBS_INTERFACE", 4);
	info->revision = 0;
	return 0;
}

static int read_all(SOCKET fd, uint8_t *to, size_t n)
{
	while (n > 0) {
		ssize_t got = recv(fd, (char *)to, n, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return -1;
		to += got;
		n -= (size_t)got;
	}
	return 0;
}

/* Waits TBS_SLOW_MS; 1 if the command was canceled meanwhile. */
static int wait_slowly(context *c)
{
	uint32_t ms = setting("TBS_SLOW_MS", 0);
	char path[1024];
	const char *waiting = text_setting("TBS_WAITING", path, sizeof path);
	struct timespec until;
	int canceled, rc = 0;

	if (!ms)
		return 0;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&c->lock);
	c->running = 1;
	c->canceled = 0;
	if (waiting)
		close(open(waiting, O_CREAT | O_WRONLY, 0600));
	while (!c->canceled && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&c->wake, &c->lock, &until);
	canceled = c->canceled;
	c->running = 0;
	pthread_mutex_unlock(&c->lock);
	return canceled;
}

uint32_t CALL Tbsip_Submit_Command(context *c, uint32_t locality, uint32_t priority, const uint8_t *command,
			      uint32_t length, uint8_t *answer, uint32_t *answer_length)
{
	uint32_t wanted = setting("TBS_SUBMIT", 0), bare = setting("TBS_BARE", 0), total, code;
	uint8_t bytes[4096];

	if (!c || c->magic != MAGIC)
		return TBS_INVALID_CONTEXT;
	if (locality != 0 || priority != 200 || !command || !answer || !answer_length)
		return TBS_BAD_PARAMETER;
	if (wanted)
		return wanted;
	if (wait_slowly(c))
		return TBS_COMMAND_CANCELED;
	if (send(c->socket, (const char *)command, length, MSG_NOSIGNAL) != (ssize_t)length || read_all(c->socket, bytes, 10))
		return TBS_IOERROR;
	total = uint32_at(bytes + 2);
	if (total < 10 || total > sizeof bytes || read_all(c->socket, bytes + 10, total - 10))
		return TBS_IOERROR;
	if (total > *answer_length)
		return TBS_INSUFFICIENT_BUFFER;
	code = uint32_at(bytes + 6);
	if (code && bare == 1)
		return 0x80280000u | code;
	memcpy(answer, bytes, total);
	*answer_length = total;
	if (code && bare == 3)
		memset(answer + 6, 0, 4);
	return code && bare ? 0x80280000u | code : 0;
}

uint32_t CALL Tbsip_Cancel_Commands(context *c)
{
	if (!c || c->magic != MAGIC)
		return TBS_INVALID_CONTEXT;
	pthread_mutex_lock(&c->lock);
	c->canceled = c->running;
	pthread_cond_signal(&c->wake);
	pthread_mutex_unlock(&c->lock);
	return 0;
}

uint32_t CALL Tbsip_Context_Close(context *c)
{
	if (!c || c->magic != MAGIC)
		return TBS_INVALID_CONTEXT;
	closesocket(c->socket);
	c->magic = 0;
	free(c);
	return 0;
}
