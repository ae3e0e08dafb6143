/** The well-known hosts of Entra ID: the public cloud and the clouds of the US government and China. */
export const TRUSTED_HOSTS: readonly string[] = [
  'enterpriseregistration.windows.net',
  'login.microsoftonline.com',
  'login.windows.net',
  'login.microsoft.com',
  'enterpriseregistration.microsoftonline.us',
  'login.microsoftonline.us',
  'enterpriseregistration.partner.microsoftonline.cn',
  'login.partner.microsoftonline.cn',
  'login.chinacloudapi.cn',
];

/** Whether a host belongs to Entra ID. */
export function isEntraHost(host: string): boolean {
  return TRUSTED_HOSTS.includes(host);
}
