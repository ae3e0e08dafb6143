/* Stands for Windows' whoami.exe, for the checks of test/platforms that run under Wine, whose own knows no options: prints
 * `"name","SID"` of the user for `/user /fo csv /nh`. */
#include <windows.h>
#include <sddl.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	union {
		TOKEN_USER user;
		char bytes[sizeof(TOKEN_USER) + SECURITY_MAX_SID_SIZE];
	} token;
	char name[256], *sid;
	DWORD size = sizeof name, used;
	HANDLE process;

	if (argc != 5 || lstrcmpA(argv[1], "/user") || lstrcmpA(argv[3], "csv"))
		return 1;
	if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &process) ||
	    !GetTokenInformation(process, TokenUser, &token, sizeof token, &used) ||
	    !ConvertSidToStringSidA(token.user.User.Sid, &sid) || !GetUserNameA(name, &size))
		return 2;
	printf("\"PC\\%s\",\"%s\"\n", name, sid);
	return 0;
}
